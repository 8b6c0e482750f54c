/* revision.c: the commit that a folder's git repository is at, read from its files: a run does not start programs. */
#include "train/record.h"

#include "io/file.h"

#include <string.h>
#include <unistd.h>

enum { UPWARD = 32 };

/* A small file's first line, or NULL without an error. */
static char *line_of(const char *folder, const char *name) {
    char *path = wk_format("%s/%s", folder, name);
    size_t size;
    char *text = path && access(path, R_OK) == 0 ? wk__read_file(path, 1 << 22, &size) : NULL;
    if (text) text[strcspn(text, "\r\n")] = '\0';
    wk_free(path);
    wk_clear_error();
    return text;
}

/* A worktree's .git is a file that names its folder, which names the common one. */
static char *git_folder(const char *folder) {
    char *path = wk_format("%s/.git", folder), *inside = NULL;
    char *link = line_of(folder, ".git");
    if (link && strncmp(link, "gitdir: ", 8) == 0)
        inside = link[8] == '/' ? wk_strdup(link + 8) : wk_format("%s/%s", folder, link + 8);
    else if (path && access(path, F_OK) == 0)
        inside = wk_strdup(path);
    wk_free(link);
    wk_free(path);
    return inside;
}

/* "abc… refs/heads/main" lines. */
static char *packed(const char *git, const char *name) {
    char *path = wk_format("%s/packed-refs", git), *found = NULL;
    size_t size;
    char *text = path && access(path, R_OK) == 0 ? wk__read_file(path, 1 << 26, &size) : NULL;
    for (char *line = text; line && *line && !found;) {
        size_t length = strcspn(line, "\n");
        const char *space = memchr(line, ' ', length);
        if (space && (size_t)(line + length - space - 1) == strlen(name) && strncmp(space + 1, name, strlen(name)) == 0)
            found = wk_format("%.*s", (int)(space - line), line);
        line += length + (line[length] == '\n');
    }
    wk_free(text);
    wk_free(path);
    wk_clear_error();
    return found;
}

static char *commit_of(const char *git) {
    char *head = line_of(git, "HEAD"), *common = line_of(git, "commondir");
    if (!head || strncmp(head, "ref: ", 5) != 0) {
        wk_free(common);
        return head;
    }
    char *shared = common ? common[0] == '/' ? wk_strdup(common) : wk_format("%s/%s", git, common) : wk_strdup(git);
    char *commit = line_of(git, head + 5);
    if (!commit && shared) commit = line_of(shared, head + 5);
    if (!commit && shared) commit = packed(shared, head + 5);
    wk_free(shared);
    wk_free(common);
    wk_free(head);
    return commit;
}

void wk__revision(const char *folder, char *text, size_t size) {
    char *here = wk_strdup(folder);
    *text = '\0';
    for (int i = 0; here && i < UPWARD; i++) {
        char *git = git_folder(here), *commit = git ? commit_of(git) : NULL;
        bool found = git != NULL;
        if (commit && strspn(commit, "0123456789abcdef") == strlen(commit)) (void)snprintf(text, size, "%s", commit);
        wk_free(commit);
        wk_free(git);
        if (found) break;
        char *above = wk_format("%s/..", here);
        wk_free(here);
        here = above;
    }
    wk_free(here);
    wk_clear_error();
}
