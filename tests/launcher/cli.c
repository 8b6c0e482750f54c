/* Completion, manual pages and `wick top`: what stands around the commands. */
#include "launcher/harness.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

TestSuite(cli, .init = state_begin, .fini = state_end, .timeout = 120);

/* What bash would offer for these words. */
static outcome complete(const char *script, const char *words) {
    char command[PATH_MAX];
    (void)snprintf(command, sizeof command,
                   "PATH=%s/bin:$PATH; source '%s'; COMP_WORDS=(%s); COMP_CWORD=$((${#COMP_WORDS[@]} - 1)); _wick; "
                   "printf '%%s\\n' "
                   "\"${COMPREPLY[@]}\"",
                   WICK_BUILD_DIR, script, words);
    return run_program((const char *const[]){ "bash", "-c", command, NULL });
}

Test(cli, bash_completes) {
    outcome o = WICK("completion", "bash");
    cr_assert_eq(o.code, 0, "%s", o.err);
    char *script = wk_strdup(write_file("wick.bash", o.out));
    static const struct {
        const char *words, *expected;
    } table[] = { { "wick pipel", "pipeline\n" },
                  { "wick run --dry", "--dryrun\n" },
                  { "wick run x -s kube", "kubernetes\n" },
                  { "wick log --reg", "--regex\n" },
                  { "wick run utils.ec", "utils.echo\n" } };
    for (size_t i = 0; i < WK_COUNT(table); i++) {
        outcome c = complete(script, table[i].words);
        cr_expect_str_eq(c.out, table[i].expected, "%s: %s%s", table[i].words, c.out, c.err);
        forget(&c);
    }
    outcome run = WICK("run", "utils.echo", "--wait");
    const char *handle = handle_of(&run);
    outcome c = complete(script, "wick status local");
    cr_expect(strstr(c.out, strrchr(handle, '/')) != NULL, "%s", c.out);
    forget(&c);
    forget(&run);
    wk_free(script);
    forget(&o);
}

/* Commands that the help names, one a line of two blanks. */
Test(cli, every_command_is_completed_and_has_a_page) {
    outcome help = WICK("--help");
    outcome zsh = WICK("completion", "zsh");
    outcome fish = WICK("completion", "fish");
    int commands = 0;
    for (const char *line = help.out; line && *line; line = strchr(line, '\n') ? strchr(line, '\n') + 1 : NULL) {
        char name[32];
        char word[80];
        if (strncmp(line, "  ", 2) != 0 || line[2] == ' ' || sscanf(line, "  %31[a-z-]", name) != 1) continue;
        if (strcmp(name, "wick") == 0) continue;
        commands++;
        (void)snprintf(word, sizeof word, "\n    '%s:", name);
        cr_expect(strstr(zsh.out, word) != NULL, "zsh lacks %s", name);
        (void)snprintf(word, sizeof word, "-f -a %s -d '", name);
        cr_expect(strstr(fish.out, word) != NULL, "fish lacks %s", name);
        outcome page = WICK("man", name);
        cr_expect_eq(page.code, 0, "%s: %s", name, page.err);
        (void)snprintf(word, sizeof word, ".SH NAME\nwick-%s \\- ", name);
        cr_expect(strstr(page.out, word) != NULL, "%s", page.out);
        bool told =
            strstr(page.out, ".SH DESCRIPTION") != NULL; /* a build without the engine cannot ask its commands */
        cr_expect(!told || strstr(page.out, ".SH EXAMPLES") != NULL, "%s has no example", name);
        forget(&page);
    }
    cr_expect_geq(commands, 14);
    assert_contains(zsh.out, "'--regex[lines that match (POSIX extended)]'");
    assert_contains(fish.out,
                    "complete -c wick -n '__fish_seen_subcommand_from run' -l dryrun -d 'print what would be run");
    forget(&help);
    forget(&zsh);
    forget(&fish);
    outcome o = WICK("completion", "bsh");
    cr_assert_str_eq(o.err, "wick: completion: which shell? bash, zsh or fish; did you mean bash?\n");
    forget(&o);
    o = WICK("man", "statsu");
    cr_assert_eq(o.code, 2);
    assert_contains(o.err, "man: no command \"statsu\"");
    forget(&o);
}

Test(cli, pages_are_good_troff) {
    outcome found = run_program((const char *const[]){ "sh", "-c", "command -v groff", NULL });
    int missing = found.code;
    forget(&found);
    if (missing) cr_skip_test("groff is not installed");
    outcome page = WICK("man", "run");
    const char *file = write_file("wick-run.1", page.out);
    outcome o = run_program((const char *const[]){ "groff", "-man", "-Tascii", "-ww", file, NULL });
    cr_assert_str_eq(o.err, "");
    assert_contains(o.out, "--propagate-exit-code");
    forget(&o);
    forget(&page);
}

Test(cli, nearest_option) {
    outcome o = WICK("status", "--jsno", "local://wick/x");
    cr_assert_eq(o.code, 2);
    cr_assert_str_eq(o.err, "wick: status: unknown option --jsno; did you mean --json?\n");
    forget(&o);
}

static const char busy[] = "i=0; while :; do i=$((i + 1)); echo line $i of $RANK; sleep 0.05; done";

Test(cli, top_shows_what_runs) {
    outcome o = WICK("top");
    assert_contains(o.out, "nothing runs\n");
    forget(&o);
    outcome run = WICK("run", "utils.sh", "-j", "2", "--", busy);
    const char *handle = handle_of(&run);
    cr_assert(becomes(handle, "RUNNING", 10));
    pause_for(0.5);
    (void)setenv("COLUMNS", "80", 1);
    o = WICK("top", handle);
    cr_assert_eq(o.code, 0, "%s", o.err);
    assert_contains(o.out, handle);
    assert_contains(o.out, "  RUNNING  ");
    assert_contains(o.out, "  sh/1                 RUNNING ");
    assert_contains(o.out, " of 1\n");
    cr_expect_null(strchr(o.out, '\033'));
    const char *row = strstr(o.out, "  sh/0 ");
    char state[32];
    char processor[16];
    char memory[16];
    char rate[16];
    cr_assert_eq(sscanf(row, " sh/0 %31s %15s %15s %15s", state, processor, memory, rate), 4);
    cr_expect_gt(strtod(memory, NULL), 0, "%s", memory);
    cr_expect_gt(strtod(rate, NULL), 50, "%s bytes a second", rate);
    forget(&o);
    o = WICK("top", "--interval", "x");
    cr_assert_eq(o.code, 2);
    forget(&o);
    forget(&run);
}

/* On a terminal: the other screen, repainted, given back when q is pressed. */
Test(cli, top_on_a_terminal) {
    outcome found = run_program((const char *const[]){ "sh", "-c", "command -v script", NULL });
    int missing = found.code;
    forget(&found);
    if (missing) cr_skip_test("script (bsdutils) is not installed");
    outcome run = WICK("run", "utils.sh", "--", busy);
    const char *handle = handle_of(&run);
    cr_assert(becomes(handle, "RUNNING", 10));
    char command[PATH_MAX];
    (void)snprintf(command, sizeof command,
                   "(sleep 1.5; printf q) | NO_COLOR=1 script -qec '%s top --interval 0.3' /dev/null", WICK_BINARY);
    outcome o = run_program((const char *const[]){ "sh", "-c", command, NULL });
    cr_expect_eq(o.code, 0, "%s", o.err);
    cr_expect_lt(o.seconds, 25);
    int pictures = 0;
    for (const char *at = o.out; (at = strstr(at, "\033[H\033[J")); at++) pictures++;
    cr_expect_geq(pictures, 3);
    cr_expect_null(strstr(o.out, "\033[1m"), "NO_COLOR is heeded");
    assert_contains(o.out, "\033[?1049h");
    assert_contains(o.out, "\033[?1049l");
    assert_contains(o.out, handle);
    forget(&o);
    forget(&run);
}
