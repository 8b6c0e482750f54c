/* role.c: the text that a step runs on every task of a role.
 *
 * Lines that are the same for all roles stand before and after the role's own: who the replica is, and how it ended.
 */
#include "launcher/slurm/slurm.h"

#include <string.h>

enum { LONGEST_ROLE = 120000 /* with the shared lines one argument, of which Linux takes 128 KiB */ };

/* ---- quoting ---- */

/* In single quotes; the marker becomes the task's own number. */
void wk__slurm_quote(wk_text *out, const char *text, const char *marker) {
    size_t size = strlen(marker);
    wk_text_puts(out, "'");
    for (; *text; text++) {
        if (strncmp(text, marker, size) == 0) {
            wk_text_puts(out, "'\"$RANK\"'");
            text += size - 1;
        } else if (*text == '\'')
            wk_text_puts(out, "'\\''");
        else if (*text == '\r') /* sbatch refuses a script in which one stands before a new line */
            wk_text_puts(out, "'$'\\r''");
        else
            wk_text_add(out, text, 1);
    }
    wk_text_puts(out, "'");
}

void wk__slurm_marker(const wk_appdef *app, char *marker, size_t size) {
    bool taken = true;
    for (int number = 0; taken; number++) {
        (void)snprintf(marker, size, "\x02replica-%d\x02", number);
        taken = false;
        for (size_t i = 0; i < app->role_count; i++) {
            const wk_role *role = &app->roles[i];
            for (size_t k = 0; k < role->arg_count; k++) taken = taken || strstr(role->args[k], marker);
            for (size_t k = 0; k < role->env_count; k++) taken = taken || strstr(role->env[k].value, marker);
        }
    }
}

/* ---- one role ---- */

static const char role_head[] =
    "export RANK=$SLURM_PROCID WORLD_SIZE=$SLURM_NTASKS LOCAL_RANK=$SLURM_LOCALID GROUP_RANK=$SLURM_NODEID\n"
    "export ROLE_RANK=$RANK ROLE_WORLD_SIZE=$WORLD_SIZE TORCHELASTIC_RESTART_COUNT=${SLURM_RESTART_COUNT:-0}\n"
    "node=$SLURM_NODEID LOCAL_WORLD_SIZE=1\n"
    "IFS=, read -ra parts <<<\"${SLURM_STEP_TASKS_PER_NODE:-1}\" # \"2(x3),1\": three nodes of 2, one of 1\n"
    "for part in \"${parts[@]}\"; do\n"
    "  nodes=1; [[ $part == *x* ]] && { nodes=${part##*x}; nodes=${nodes%)}; }\n"
    "  ((node < nodes)) && { LOCAL_WORLD_SIZE=${part%%(*}; break; }\n"
    "  ((node -= nodes))\n"
    "done\n"
    "export LOCAL_WORLD_SIZE OMP_NUM_THREADS=${OMP_NUM_THREADS:-${SLURM_CPUS_PER_TASK:-1}}\n";

static const char role_tail[] =
    "report() { # ENDED EXIT_CODE SIGNAL TIME\n"
    "  printf "
    "'attempt=%d\\nended=%d\\nstopped=%d\\nexit_code=%d\\nsignal=%d\\nstarted_at=%s\\nended_at=%s\\nhost=%s\\n'"
    " \"$TORCHELASTIC_RESTART_COUNT\" \"$1\" \"$stopped\" \"$2\" \"$3\" \"$started\" \"$4\" \"$(uname -n)\""
    " >\"$WICK_REPLICA_DIR/status.tmp\" && mv -f \"$WICK_REPLICA_DIR/status.tmp\" \"$WICK_REPLICA_DIR/status\"\n"
    "}\n"
    "stopped=0 started=$(date +%s.%3N)\n"
    "trap 'stopped=1' TERM # the program gets every signal straight from Slurm; this shell outlives it to tell\n"
    "trap : INT HUP USR1 USR2\n"
    "rm -f \"$WICK_REPLICA_DIR/error.json\"\n"
    "report 0 0 0 0\n"
    "\"${program[@]}\" </dev/null &\n"
    "pid=$!\n"
    "wait $pid; code=$?\n"
    "while kill -0 $pid 2>/dev/null; do wait $pid; code=$?; done\n"
    "signal=0; ((code > 128)) && signal=$((code - 128))\n"
    "report 1 $((signal ? 0 : code)) $signal \"$(date +%s.%3N)\"\n"
    "if ((code && !stopped)); then\n"
    "  (set -o noclobber; echo \"$ROLE_NAME $RANK\" >\"$WICK_DIR/failed.$TORCHELASTIC_RESTART_COUNT\") 2>/dev/null\n"
    "fi\n"
    "exit $code\n";

static void put_export(wk_text *out, const char *name, const char *value, const char *marker) {
    wk_text_printf(out, "export %s=", name);
    wk__slurm_quote(out, value, marker);
    wk_text_puts(out, "\n");
}

/* A variable's name must be one to a shell; others, which only execve knows, go through env(1). */
static bool is_shell_name(const char *name) {
    return strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_") == strlen(name)
           && !(name[0] >= '0' && name[0] <= '9');
}

char *wk__slurm_secrets(const wk_request *r, size_t role) {
    const wk__program *p = &r->roles[role].programs[0];
    wk_text out = { 0 };
    wk_text_puts(&out, "");
    for (size_t i = 0; i < p->env_count; i++)
        if (wk__is_secret(p->env[i].key) && is_shell_name(p->env[i].key))
            put_export(&out, p->env[i].key, p->env[i].value, r->marker);
    if (out.failed) wk_text_free(&out);
    return out.data;
}

static bool has_secrets(const wk__program *p) {
    for (size_t i = 0; i < p->env_count; i++)
        if (wk__is_secret(p->env[i].key)) return true;
    return false;
}

static void put_program(wk_text *out, const wk__program *p, const char *marker) {
    bool odd = false;
    for (size_t i = 0; i < p->env_count; i++) odd = odd || !is_shell_name(p->env[i].key);
    wk_text_puts(out, "program=(");
    if (odd) wk_text_puts(out, "env --");
    for (size_t i = 0; i < p->env_count; i++) {
        if (is_shell_name(p->env[i].key)) continue;
        char *pair = wk_format("%s=%s", p->env[i].key, p->env[i].value);
        wk_text_puts(out, " ");
        if (pair) wk__slurm_quote(out, pair, marker);
        wk_free(pair);
    }
    for (size_t i = 0; i < p->argc; i++) {
        wk_text_puts(out, i || odd ? " " : "");
        wk__slurm_quote(out, p->argv[i], marker);
    }
    wk_text_puts(out, ")\n");
}

wk_status wk__slurm_role(wk_text *out, const wk_request *r, size_t index, const char *marker) {
    const wk__request_role *role = &r->roles[index];
    const wk__program *p = &role->programs[0];
    wk_text_printf(out,
                   "export MASTER_ADDR=$WICK_MASTER_%zu MASTER_PORT=$((20000 + (SLURM_JOB_ID * 8 + %zu) %% 10000))\n",
                   index, index);
    put_export(out, "ROLE_NAME", role->name, marker);
    wk_text_printf(out, "export WICK_REPLICA_DIR=\"$WICK_DIR/%s/$RANK\"\n", role->name);
    wk_text_puts(out, "export TORCHELASTIC_ERROR_FILE=\"$WICK_REPLICA_DIR/error.json\"\n");
    wk_text_printf(out, "export TORCHELASTIC_MAX_RESTARTS=%d\n", role->max_retries);
    for (size_t i = 0; i < p->env_count; i++)
        if (!wk__is_secret(p->env[i].key) && is_shell_name(p->env[i].key))
            put_export(out, p->env[i].key, p->env[i].value, marker);
    if (has_secrets(p)) wk_text_printf(out, ". \"$WICK_DIR/secrets.%s\"\n", role->name);
    wk_text_puts(out, "cd ");
    wk__slurm_quote(out, *role->directory ? role->directory : r->directory, marker);
    wk_text_puts(out, " || exit 125\n");
    put_program(out, p, marker);
    if (out->failed) return wk_error_code();
    return out->size < LONGEST_ROLE
               ? WK_OK
               : wk_fail(WK_CONFIG, "slurm: arguments and variables of role \"%s\" are %zu bytes; at most %d fit",
                         role->name, out->size, LONGEST_ROLE);
}

void wk__slurm_shared(wk_text *out) {
    wk_text_puts(out, "\n# ---- what every task does before and after its role's own lines\n"
                      "IFS= read -r -d '' before <<'WICK_END'\n");
    wk_text_puts(out, role_head);
    wk_text_puts(out, "WICK_END\nIFS= read -r -d '' after <<'WICK_END'\n");
    wk_text_puts(out, role_tail);
    wk_text_puts(out, "WICK_END\n");
}
