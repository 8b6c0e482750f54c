/* page.h: the commands of a page of the documentation, as they stand there. */
#ifndef WICK_TESTS_GUIDES_PAGE_H
#define WICK_TESTS_GUIDES_PAGE_H

typedef struct page_command {
    int line;
    char *text; /* without prompt and comment, continued lines joined */
    int yaml;   /* the block of YAML before it, of page.yaml; -1: none */
} page_command;

enum { PAGE_COMMANDS = 64, PAGE_BLOCKS = 64 };
typedef struct page {
    const char *path; /* below the source folder */
    page_command command[PAGE_COMMANDS];
    char *yaml[PAGE_BLOCKS];
    int yaml_line[PAGE_BLOCKS];
    int commands, blocks;
} page;

/* A guide (.md): lines of its blocks without a language that run wick to train, evaluate, write, look at files or runs,
 * or on an example; in a block with prompts those behind one.  A file of YAML: what its comments say to run. */
page page_read(const char *path);
void page_free(page *p);

#endif
