/* completion.c: `wick completion bash|zsh|fish` and `wick man`.
 *
 * The one table of options is what the commands' own --help says: commands are lines "  NAME  WORDS" of `wick --help`,
 * options the words --NAME of `wick NAME --help`, with what stands behind them on their line.  So nothing here can say
 * anything else than they do, and a command that is added is completed.
 */
#include "launcher/launcher.h"

#include <ctype.h>
#include <string.h>

enum { MOST_COMMANDS = 64, MOST_OPTIONS = 64 };

typedef struct option {
    char name[40], help[160];
} option;

typedef struct command {
    char name[32], help[120];
    char *text; /* of --help */
    option options[MOST_OPTIONS];
    size_t option_count;
} command;

typedef struct table {
    command *commands;
    size_t count;
    wk_text schedulers;
} table;

static char *ask(const char *const *words) {
    char wick[4096];
    const char *argv[4] = { wick };
    if (wk__wick_path(wick, sizeof wick) != WK_OK) return NULL;
    for (size_t i = 0; i < 2 && words[i]; i++) argv[i + 1] = words[i];
    wk__command c;
    wk_status status = wk__command_run(argv, 30, &c);
    char *text = status == WK_OK ? wk_strdup(c.out.data) : NULL;
    wk__command_free(&c);
    return text;
}

/* ---- options of a help text ---- */

static bool is_name(char c) {
    return isalnum((unsigned char)c) || c == '-' || c == '_';
}

/* What stands behind an option on a line that begins with one, after two blanks. */
static void take_help(const char *line, const char *at, option *o) {
    const char *end = line + strcspn(line, "\n");
    const char *begin = line + strspn(line, " ");
    const char *gap = NULL;
    if (*begin != '-' || begin == line) return;
    for (const char *c = at; c + 1 < end && !gap; c++)
        if (c[0] == ' ' && c[1] == ' ') gap = c;
    if (!gap) return;
    gap += strspn(gap, " ");
    (void)snprintf(o->help, sizeof o->help, "%.*s", (int)(end - gap), gap);
}

static void take_option(command *c, const char *line, const char *at) {
    size_t size = 2;
    while (is_name(at[size])) size++;
    if (size < 4 || size >= sizeof c->options[0].name || c->option_count == MOST_OPTIONS) return;
    option o = { 0 };
    (void)snprintf(o.name, sizeof o.name, "%.*s", (int)size, at);
    take_help(line, at, &o);
    for (size_t i = 0; i < c->option_count; i++) {
        if (strcmp(c->options[i].name, o.name) != 0) continue;
        if (!*c->options[i].help) c->options[i] = o;
        return;
    }
    c->options[c->option_count++] = o;
}

static void take_options(command *c) {
    for (const char *line = c->text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        if (strncmp(line, "example:", 8) == 0) break; /* there they are other programs' too */
        size_t size = strcspn(line, "\n");
        for (const char *at = line; at + 3 < line + size; at++)
            if (at[0] == '-' && at[1] == '-' && isalpha((unsigned char)at[2])
                && (at == line || strchr(" [|(,`", at[-1])))
                take_option(c, line, at);
    }
}

/* ---- the table ---- */

/* "  run       start an app" */
static void take_command(table *t, const char *line) {
    size_t size = strcspn(line + 2, " \n");
    if (strncmp(line, "  ", 2) != 0 || !islower((unsigned char)line[2]) || line[2 + size] != ' ' || size >= 32) return;
    if (strncmp(line + 2, "wick", size) == 0 || t->count == MOST_COMMANDS) return;
    command *c = &t->commands[t->count++];
    const char *help = line + 2 + size + strspn(line + 2 + size, " ");
    (void)snprintf(c->name, sizeof c->name, "%.*s", (int)size, line + 2);
    (void)snprintf(c->help, sizeof c->help, "%.*s", (int)strcspn(help, "\n"), help);
}

static wk_status read_table(table *t, const char *only) {
    char *text = ask((const char *const[]){ "--help", NULL });
    t->commands = text ? wk_alloc(MOST_COMMANDS * sizeof *t->commands) : NULL;
    for (const char *line = t->commands ? text : NULL; line && *line;
         line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL)
        take_command(t, line);
    wk_free(text);
    for (size_t i = 0; i < t->count && !wk_failed(); i++) {
        if (only && strcmp(only, t->commands[i].name) != 0) continue;
        t->commands[i].text = ask((const char *const[]){ t->commands[i].name, "--help" });
        if (t->commands[i].text) take_options(&t->commands[i]);
    }
    const wk_scheduler_ops *ops = NULL;
    for (size_t i = 0; (ops = wk__scheduler_at(i)); i++)
        wk_text_printf(&t->schedulers, "%s%s", i ? " " : "", ops->name);
    return t->schedulers.failed ? WK_NO_MEMORY : wk_error_code();
}

static void free_table(table *t) {
    for (size_t i = 0; i < t->count; i++) wk_free(t->commands[i].text);
    wk_free(t->commands);
    wk_text_free(&t->schedulers);
}

/* ---- shells ---- */

static void put_options(wk_text *out, const command *c) {
    for (size_t i = 0; i < c->option_count; i++) wk_text_printf(out, "%s%s", i ? " " : "", c->options[i].name);
}

static void put_bash(wk_text *out, const table *t) {
    wk_text_puts(out, "# wick completion bash >/etc/bash_completion.d/wick\n"
                      "_wick() {\n  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]} options=\n"
                      "  COMPREPLY=()\n  if ((COMP_CWORD == 1)); then\n    COMPREPLY=($(compgen -W '");
    for (size_t i = 0; i < t->count; i++) wk_text_printf(out, "%s%s", i ? " " : "", t->commands[i].name);
    wk_text_printf(out,
                   " --help --version' -- \"$word\"))\n    return\n  fi\n"
                   "  case $before in -s | --scheduler | --schedulers) COMPREPLY=($(compgen -W '%s' -- \"$word\")); "
                   "return ;; esac\n"
                   "  case ${COMP_WORDS[1]} in\n",
                   wk_text_get(&t->schedulers));
    for (size_t i = 0; i < t->count; i++) {
        wk_text_printf(out, "    %s) options='", t->commands[i].name);
        put_options(out, &t->commands[i]);
        wk_text_puts(out, "' ;;\n");
    }
    wk_text_puts(
        out,
        "  esac\n  if [[ $word == -* ]]; then COMPREPLY=($(compgen -W \"$options\" -- \"$word\")); return; fi\n"
        "  case ${COMP_WORDS[1]} in\n    status | log | cancel | delete | describe | top)\n"
        "      local IFS=$'\\n'\n      COMPREPLY=($(compgen -W \"$(wick list 2>/dev/null | awk 'NR > 1 { print $1 "
        "}')\" -- \"$word\"))\n"
        "      [[ ${COMPREPLY-} == *:* ]] && COMPREPLY=(\"${COMPREPLY[@]#\"${word%\"${word##*:}\"}\"}\") ;;\n"
        "    run) COMPREPLY=($(compgen -W \"$(wick builtins 2>/dev/null | awk 'NR > 1 { print $2 }')\" -- \"$word\") "
        "$(compgen -f -- \"$word\")) ;;\n"
        "    *) COMPREPLY=($(compgen -f -- \"$word\")) ;;\n  esac\n}\ncomplete -o filenames -F _wick wick\n");
}

/* In single quotes; zsh's descriptions end at a colon or bracket. */
static void put_quoted(wk_text *out, const char *text, const char *escaped) {
    for (; *text; text++) {
        if (*text == '\'')
            wk_text_puts(out, "'\\''");
        else {
            if (strchr(escaped, *text)) wk_text_puts(out, "\\");
            wk_text_add(out, text, 1);
        }
    }
}

static void put_zsh(wk_text *out, const table *t) {
    wk_text_puts(out, "#compdef wick\n# wick completion zsh >\"${fpath[1]}/_wick\"\n_wick() {\n"
                      "  local -a commands\n  commands=(\n");
    for (size_t i = 0; i < t->count; i++) {
        wk_text_printf(out, "    '%s:", t->commands[i].name);
        put_quoted(out, t->commands[i].help, "");
        wk_text_puts(out, "'\n");
    }
    wk_text_printf(out,
                   "  )\n  if ((CURRENT == 2)); then _describe command commands; return; fi\n"
                   "  case $words[CURRENT-1] in -s|--scheduler|--schedulers) compadd %s; return ;; esac\n"
                   "  case $words[2] in\n",
                   wk_text_get(&t->schedulers));
    for (size_t i = 0; i < t->count; i++) {
        wk_text_printf(out, "    %s) _arguments", t->commands[i].name);
        for (size_t k = 0; k < t->commands[i].option_count; k++) {
            wk_text_printf(out, " '%s[", t->commands[i].options[k].name);
            put_quoted(out, t->commands[i].options[k].help, "[]:");
            wk_text_puts(out, "]'");
        }
        bool handles = strstr("status log cancel delete describe top", t->commands[i].name) != NULL;
        wk_text_puts(out, handles ? " '*:handle:($(wick list 2>/dev/null | awk \"NR > 1 { print \\$1 }\"))' ;;\n"
                                  : " '*:file:_files' ;;\n");
    }
    wk_text_puts(out, "  esac\n}\n_wick \"$@\"\n");
}

static void put_fish(wk_text *out, const table *t) {
    wk_text_puts(out, "# wick completion fish >~/.config/fish/completions/wick.fish\n");
    for (size_t i = 0; i < t->count; i++) {
        wk_text_printf(out, "complete -c wick -n __fish_use_subcommand -f -a %s -d '", t->commands[i].name);
        put_quoted(out, t->commands[i].help, "");
        wk_text_puts(out, "'\n");
        for (size_t k = 0; k < t->commands[i].option_count; k++) {
            wk_text_printf(out, "complete -c wick -n '__fish_seen_subcommand_from %s' -l %s -d '", t->commands[i].name,
                           t->commands[i].options[k].name + 2);
            put_quoted(out, t->commands[i].options[k].help, "");
            wk_text_puts(out, "'\n");
        }
    }
    wk_text_printf(out, "complete -c wick -n '__fish_seen_subcommand_from run' -s s -x -a '%s' -d scheduler\n",
                   wk_text_get(&t->schedulers));
    wk_text_puts(out, "complete -c wick -n '__fish_seen_subcommand_from status log cancel delete describe top' -f -a "
                      "\"(wick list 2>/dev/null | tail -n +2 | string split -f1 ' ')\"\n");
}

static int finish(wk_text *out, table *t) {
    bool failed = out->failed || wk_failed();
    if (!failed) (void)fputs(wk_text_get(out), stdout);
    wk_text_free(out);
    free_table(t);
    return failed ? wk_report(stderr) != WK_OK : 0;
}

int wk_completion_main(int argc, char **argv) {
    static const char usage[] =
        "usage: wick completion bash|zsh|fish\n\nPrints what a shell needs to complete commands, "
        "options, schedulers, components and handles.\n\n"
        "example:  source <(wick completion bash)\n";
    static const char *const shells[] = { "bash", "zsh", "fish" };
    static void (*const put[])(wk_text *, const table *) = { put_bash, put_zsh, put_fish };
    table t = { 0 };
    wk_text out = { 0 };
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        (void)fputs(usage, stdout);
        return 0;
    }
    size_t which = 0;
    while (which < WK_COUNT(shells) && (argc != 2 || strcmp(argv[1], shells[which]) != 0)) which++;
    if (which == WK_COUNT(shells)) {
        const char *near = argc == 2 ? wk__nearest(argv[1], shells, WK_COUNT(shells)) : NULL;
        return wk__usage_error("completion: which shell? bash, zsh or fish%s%s%s", near ? "; did you mean " : "",
                               near ? near : "", near ? "?" : "");
    }
    if (read_table(&t, NULL) == WK_OK) put[which](&out, &t);
    return finish(&out, &t);
}

/* ---- man pages ---- */

/* A line of text for troff: no requests, no escapes, minus signs as such. */
static void put_roff(wk_text *out, const char *line, size_t size) {
    if (size && (*line == '.' || *line == '\'')) wk_text_puts(out, "\\&");
    for (size_t i = 0; i < size; i++) {
        if (line[i] == '\\')
            wk_text_puts(out, "\\e");
        else if (line[i] == '-')
            wk_text_puts(out, "\\-");
        else
            wk_text_add(out, line + i, 1);
    }
    wk_text_puts(out, "\n");
}

static void put_page(wk_text *out, const char *name, const char *help, const char *text) {
    wk_text_printf(out, ".TH WICK%s%s 1 \"\" \"wick %s\"\n.SH NAME\nwick%s%s \\- ", *name ? "-" : "", name,
                   wk_version(), *name ? "-" : "", name);
    put_roff(out, help, strlen(help));
    wk_text_puts(out, ".SH SYNOPSIS\n.nf\n");
    bool described = false;
    for (const char *line = text; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        size_t size = strcspn(line, "\n");
        if (size == 0 && !described) {
            wk_text_puts(out, ".fi\n.SH DESCRIPTION\n.nf\n");
            described = true;
        } else if (strncmp(line, "example:", 8) == 0) {
            wk_text_puts(out, ".fi\n.SH EXAMPLES\n.nf\n");
            put_roff(out, line + 8 + strspn(line + 8, " "), size - 8 - strspn(line + 8, " "));
        } else
            put_roff(out, line + (strncmp(line, "usage: ", 7) == 0 ? 7 : 0),
                     size - (strncmp(line, "usage: ", 7) == 0 ? 7 : 0));
    }
    wk_text_puts(out, ".fi\n.SH SEE ALSO\n.BR wick (1)\n");
}

int wk_man_main(int argc, char **argv) {
    static const char usage[] = "usage: wick man [COMMAND]\n\nPrints the manual page of a command, or of wick.\n\n"
                                "example:  wick man run | man -l -\n";
    table t = { 0 };
    wk_text out = { 0 };
    if (argc == 2 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0)) {
        (void)fputs(usage, stdout);
        return 0;
    }
    const char *name = argc == 2 ? argv[1] : "";
    if (read_table(&t, *name ? name : "?") != WK_OK) return finish(&out, &t);
    const char *names[MOST_COMMANDS];
    for (size_t i = 0; i < t.count; i++) {
        names[i] = t.commands[i].name;
        if (strcmp(name, names[i]) == 0) put_page(&out, name, t.commands[i].help, t.commands[i].text);
    }
    char *whole = *name ? NULL : ask((const char *const[]){ "--help", NULL });
    if (whole) put_page(&out, "", "train models, on one machine or many", whole);
    wk_free(whole);
    if (out.size) return finish(&out, &t);
    const char *near = wk__nearest(name, names, t.count);
    int code = wk__usage_error("man: no command \"%s\"%s%s%s", name, near ? "; did you mean " : "", near ? near : "",
                               near ? "?" : "");
    free_table(&t);
    return code;
}
