/* page.c: see page.h. */
#include "guides/page.h"

#include "support/program.h"

#include <criterion/criterion.h>
#include <ctype.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* What the launcher does is tests/launcher's business, but for the examples. */
static const char *const verbs[] = { "train", "generate", "eval", "tokenize", "ckpt", "runs", "config" };

/* Where the words begin that run wick; NULL where none do. */
static const char *wick_in(const char *line) {
    for (const char *at = line; (at = strstr(at, "wick ")); at++) {
        if (at > line && at[-1] != ' ' && at[-1] != '/') continue;
        for (size_t i = 0; i < sizeof verbs / sizeof *verbs; i++) {
            const size_t size = strlen(verbs[i]);
            if (strncmp(at + 5, verbs[i], size) == 0 && (at[5 + size] == ' ' || !at[5 + size])) return at;
        }
        if (strstr(at, " examples/")) return at;
    }
    return NULL;
}

/* "$ ", "node1$ " */
static const char *behind_prompt(const char *line) {
    const char *at = line;
    while (isalnum((unsigned char)*at)) at++;
    return strncmp(at, "$ ", 2) == 0 ? at + 2 : NULL;
}

/* As a shell sees it: up to a # behind a space that stands in no quotes. */
static void cut_comment(char *line) {
    char quote = '\0';
    for (char *at = line; *at; at++) {
        if (quote)
            quote = *at == quote ? '\0' : quote;
        else if (*at == '\'' || *at == '"')
            quote = *at;
        else if (*at == '#' && at > line && at[-1] == ' ')
            *at-- = '\0';
    }
    for (size_t size = strlen(line); size > 0 && line[size - 1] == ' ';) line[--size] = '\0';
}

static void add(page *p, int line, const char *text) {
    cr_assert_lt(p->commands, PAGE_COMMANDS, "%s", p->path);
    page_command *c = &p->command[p->commands++];
    *c = (page_command){ line, strdup(text), p->blocks - 1 };
    cut_comment(c->text);
}

static void append(char **text, const char *line, bool newline) {
    const size_t size = *text ? strlen(*text) : 0;
    *text = realloc(*text, size + strlen(line) + 2);
    (void)sprintf(*text + size, "%s%s", line, newline ? "\n" : "");
}

/* The lines of a block without a language. */
static void read_block(page *p, char *const lines[], int count, int first) {
    bool prompts = false;
    for (int i = 0; i < count; i++) prompts = prompts || behind_prompt(lines[i]);
    for (int i = 0; i < count; i++) {
        const char *at = prompts ? behind_prompt(lines[i]) : lines[i];
        const int begun = i;
        char *whole = NULL;
        for (; at; at = i + 1 < count ? lines[++i] : NULL) {
            const size_t size = strlen(at);
            const bool goes_on = size > 0 && at[size - 1] == '\\';
            append(&whole, at, false);
            if (!goes_on) break;
            whole[strlen(whole) - 1] = '\0';
        }
        if (whole && wick_in(whole)) add(p, first + begun, whole);
        free(whole);
    }
}

static void read_guide(page *p, char *const lines[], int count) {
    for (int i = 0; i < count; i++) {
        if (strncmp(lines[i], "```", 3) != 0) continue;
        const char *language = lines[i] + 3;
        const int first = ++i;
        while (i < count && strcmp(lines[i], "```") != 0) i++;
        cr_assert_lt(i, count, "%s:%d: a block is not closed", p->path, first);
        if (!*language) read_block(p, lines + first, i - first, first + 1);
        if (strcmp(language, "yaml") != 0) continue;
        cr_assert_lt(p->blocks, PAGE_BLOCKS, "%s", p->path);
        p->yaml_line[p->blocks] = first + 1;
        char **text = &p->yaml[p->blocks++];
        for (int k = first; k < i; k++) append(text, lines[k], true);
    }
}

page page_read(const char *path) {
    page p = { .path = path };
    char whole[600], *text, *lines[4000];
    int count = 0;
    (void)snprintf(whole, sizeof whole, "%s/%s", WICK_SOURCE_DIR, path);
    text = read_bytes(whole, NULL);
    cr_assert_not_null(text, "%s", whole);
    for (char *at = text, *end; *at && count < 4000; at = end + 1) {
        end = strchr(at, '\n');
        cr_assert_not_null(end, "%s: its last line has no end", path);
        *end = '\0';
        lines[count++] = at;
    }
    cr_assert_lt(count, 4000, "%s", path);
    if (strcmp(path + strlen(path) - 3, ".md") == 0)
        read_guide(&p, lines, count);
    else
        for (int i = 0; i < count; i++)
            if (lines[i][0] == '#' && wick_in(lines[i])) add(&p, i + 1, wick_in(lines[i]));
    free(text);
    return p;
}

void page_free(page *p) {
    for (int i = 0; i < p->commands; i++) free(p->command[i].text);
    for (int i = 0; i < p->blocks; i++) free(p->yaml[i]);
}
