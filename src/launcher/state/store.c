/* store.c: the table of apps, in SQLite, and where things lie on disk.
 *
 * One row an app, written by the client (before anything runs), the supervisor, and whoever finds that the supervisor
 * is gone.  WAL and a busy timeout let them all do so at once; an ended app never changes again, which the UPDATE says
 * itself, so nobody has to read before writing.
 */
#include "launcher/state/files.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sqlite3.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

enum { BUSY_SECONDS = 5, LONGEST_LOG = 256 /* pages */ };

struct wk__store {
    sqlite3 *db;
    char *folder; /* of files, in place of the database (files.c) */
};

const char *wk__state_dir(void) {
    static char directory[PATH_MAX];
    if (*directory) return directory;
    const char *own = getenv("WICK_STATE_DIR");
    const char *state = getenv("XDG_STATE_HOME");
    const char *home = getenv("HOME");
    char here[PATH_MAX] = "";
    bool is_relative = own && *own && *own != '/' && getcwd(here, sizeof here);
    if (own && *own)
        (void)snprintf(directory, sizeof directory, "%s%s%s", here, is_relative ? "/" : "", own);
    else if (state && *state == '/')
        (void)snprintf(directory, sizeof directory, "%s/wick", state);
    else
        (void)snprintf(directory, sizeof directory, "%s/.local/state/wick", home && *home ? home : "/tmp");
    return directory;
}

char *wk__app_path(const char *app_id, const char *rest) {
    return wk_format("%s/apps/%s%s%s", wk__state_dir(), app_id, rest ? "/" : "", rest ? rest : "");
}

wk_status wk__make_dirs(const char *path) {
    char copy[PATH_MAX];
    if (strlen(path) >= sizeof copy) return wk_fail(WK_IO, "%.100s…: the path is too long", path);
    (void)snprintf(copy, sizeof copy, "%s", path);
    for (char *at = copy + 1;; at++) {
        if (*at != '/' && *at != '\0') continue;
        char letter = *at;
        *at = '\0';
        if (mkdir(copy, 0700) != 0 && errno != EEXIST)
            return wk_fail(WK_IO, "%s: %s (WICK_STATE_DIR sets another place)", copy, strerror(errno));
        *at = letter;
        if (letter == '\0') return WK_OK;
    }
}

/* Programs in there are run in the name of who asks, and secrets lie there: it is one user's. */
static wk_status check_owner(const char *path) {
    struct stat info;
    if (stat(path, &info) != 0) return wk_fail(WK_IO, "%s: %s", path, strerror(errno));
    if (info.st_uid != geteuid())
        return wk_fail(WK_IO,
                       "%s: this state directory, and the handles in it, belong to the user with id %u and you are %u; "
                       "set WICK_STATE_DIR to a directory of your own",
                       path, (unsigned)info.st_uid, (unsigned)geteuid());
    if (info.st_mode & (S_IWGRP | S_IWOTH))
        return wk_fail(WK_IO,
                       "%s: others may write to this state directory (mode %03o), and what lies there is run in your "
                       "name; chmod 700 it, or set WICK_STATE_DIR to another",
                       path, (unsigned)info.st_mode & 0777u);
    return WK_OK;
}

static wk_status fail(const wk__store *store) {
    return wk_fail(WK_IO, "%s/wick.sqlite: %s", wk__state_dir(),
                   store->db ? sqlite3_errmsg(store->db) : "out of memory");
}

bool wk__is_on_network(const char *path) {
    static const unsigned long network[] = { 0x6969 /* NFS */,
                                             0x517B /* SMB */,
                                             0xFE534D42 /* SMB2 */,
                                             0x0BD00BD0 /* Lustre */,
                                             0x47504653 /* GPFS */,
                                             0x19830326 /* BeeGFS */,
                                             0x00C36400 /* Ceph */ };
    struct statfs info;
    if (statfs(path, &info) == 0)
        for (size_t i = 0; i < WK_COUNT(network); i++)
            if (((unsigned long)info.f_type & 0xFFFFFFFFUL) == network[i]) return true;
    return false;
}

/* On a network file system files; a database that is there already goes on.  WICK_STATE_STORE=files or sqlite decides.
 */
static bool is_in_files(const char *database) {
    const char *wish = getenv("WICK_STATE_STORE");
    if (wish && *wish) return strcmp(wish, "files") == 0;
    return wk__is_on_network(wk__state_dir()) && !wk__exists(database);
}

static bool open_files(wk__store *store) {
    store->folder = wk_format("%s/store", wk__state_dir());
    return store->folder && wk__make_dirs(store->folder) == WK_OK;
}

/* Clients that meet at a new database may each find it locked by another that changes its journal: SQLite then answers
 * at once, whatever its timeout. */
static int execute(sqlite3 *db, const char *sql) {
    int code;
    for (double end = wk_now() + BUSY_SECONDS;;) {
        code = sqlite3_exec(db, sql, NULL, NULL, NULL);
        if ((code != SQLITE_BUSY && code != SQLITE_LOCKED) || wk_now() > end) return code;
        wk__sleep(0.01);
    }
}

wk__store *wk__store_open(void) {
    if (wk__make_dirs(wk__state_dir()) != WK_OK || check_owner(wk__state_dir()) != WK_OK) return NULL;
    wk__store *store = wk_alloc(sizeof *store);
    char *path = wk_format("%s/wick.sqlite", wk__state_dir());
    if (!store || !path) goto failed;
    if (is_in_files(path)) {
        if (!open_files(store)) goto failed;
        wk_free(path);
        return store;
    }
    int made = open(path, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600); /* SQLite would let all read it */
    if (made >= 0) (void)close(made);
    int flags = SQLITE_OPEN_READWRITE | SQLITE_OPEN_CREATE | SQLITE_OPEN_NOMUTEX;
    if (sqlite3_open_v2(path, &store->db, flags, NULL) != SQLITE_OK) {
        (void)fail(store);
        goto failed;
    }
    (void)sqlite3_busy_timeout(store->db, BUSY_SECONDS * 1000);
    /* Most commands are the only one at the database: at the end of each its log would be written back, with two waits
     * for the disk.  That is left to the commit that makes the log long. */
    (void)sqlite3_db_config(store->db, SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, 1, NULL);
    (void)sqlite3_wal_autocheckpoint(store->db, LONGEST_LOG);
    /* synchronous NORMAL: a power cut may lose the last state, and reconciling finds it again. */
    static const char schema[] =
        "PRAGMA synchronous=NORMAL;"
        "CREATE TABLE IF NOT EXISTS apps(id TEXT PRIMARY KEY, name TEXT NOT NULL,"
        " scheduler TEXT NOT NULL, state INTEGER NOT NULL, restarts INTEGER NOT NULL DEFAULT 0,"
        " created_at REAL NOT NULL, ended_at REAL NOT NULL DEFAULT 0,"
        " message TEXT NOT NULL DEFAULT '') WITHOUT ROWID;";
    /* WAL needs memory shared between its users, which a network file system does not give to other hosts. */
    bool shared = wk__is_on_network(wk__state_dir());
    const char *journal = shared ? "PRAGMA journal_mode=DELETE;" : "PRAGMA journal_mode=WAL;";
    if (execute(store->db, journal) != SQLITE_OK || execute(store->db, schema) != SQLITE_OK) {
        (void)fail(store);
        goto failed;
    }
    wk_free(path);
    return store;
failed:
    wk_free(path);
    wk__store_close(store);
    return NULL;
}

void wk__store_close(wk__store *store) {
    if (!store) return;
    (void)sqlite3_close(store->db);
    wk_free(store->folder);
    wk_free(store);
}

static sqlite3_stmt *prepare(const wk__store *store, const char *sql) {
    sqlite3_stmt *statement = NULL;
    if (sqlite3_prepare_v2(store->db, sql, -1, &statement, NULL) != SQLITE_OK) (void)fail(store);
    return statement;
}

static void bind(sqlite3_stmt *statement, int index, const char *text) {
    (void)sqlite3_bind_text(statement, index, text, -1, SQLITE_TRANSIENT);
}

/* Run a statement that gives no rows. */
static wk_status finish(const wk__store *store, sqlite3_stmt *statement) {
    if (!statement) return wk_error_code();
    wk_status status = sqlite3_step(statement) == SQLITE_DONE ? WK_OK : fail(store);
    (void)sqlite3_finalize(statement);
    return status;
}

wk_status wk__store_insert(wk__store *store, const char *app_id, const char *name, const char *scheduler) {
    if (store->folder) return wk__files_insert(store->folder, app_id, name, scheduler);
    sqlite3_stmt *s = prepare(store, "INSERT INTO apps(id, name, scheduler, state, created_at) VALUES(?, ?, ?, 0, ?)");
    if (!s) return wk_error_code();
    bind(s, 1, app_id);
    bind(s, 2, name);
    bind(s, 3, scheduler);
    (void)sqlite3_bind_double(s, 4, wk_wall_time());
    return finish(store, s);
}

wk_status wk__store_update(wk__store *store, const char *app_id, wk_app_state state, int restarts,
                           const char *message) {
    if (store->folder) return wk__files_update(store->folder, app_id, state, restarts, message);
    sqlite3_stmt *s =
        prepare(store, "UPDATE apps SET state=?1, restarts=max(restarts, ?2), message=coalesce(?3, message),"
                       " ended_at=?4 WHERE id=?5 AND state NOT IN (4, 5, 6)");
    if (!s) return wk_error_code();
    (void)sqlite3_bind_int(s, 1, (int)state);
    (void)sqlite3_bind_int(s, 2, restarts);
    if (message) bind(s, 3, message);
    (void)sqlite3_bind_double(s, 4, wk_app_state_is_terminal(state) ? wk_wall_time() : 0);
    bind(s, 5, app_id);
    return finish(store, s);
}

wk_status wk__store_remove(wk__store *store, const char *app_id) {
    if (store->folder) return wk__files_remove(store->folder, app_id);
    sqlite3_stmt *s = prepare(store, "DELETE FROM apps WHERE id=?");
    if (!s) return wk_error_code();
    bind(s, 1, app_id);
    return finish(store, s);
}

static void copy_text(char *to, size_t room, sqlite3_stmt *s, int column) {
    const char *text = (const char *)sqlite3_column_text(s, column);
    (void)snprintf(to, room, "%s", text ? text : "");
}

static void read_row(sqlite3_stmt *s, wk__record *out) {
    *out = (wk__record){ .state = (wk_app_state)sqlite3_column_int(s, 3),
                         .restarts = sqlite3_column_int(s, 4),
                         .created_at = sqlite3_column_double(s, 5),
                         .ended_at = sqlite3_column_double(s, 6) };
    copy_text(out->app_id, sizeof out->app_id, s, 0);
    copy_text(out->name, sizeof out->name, s, 1);
    copy_text(out->scheduler, sizeof out->scheduler, s, 2);
    copy_text(out->message, sizeof out->message, s, 7);
}

#define COLUMNS "SELECT id, name, scheduler, state, restarts, created_at, ended_at, message FROM apps "

static wk_status unknown(const char *app_id) {
    return wk_fail(WK_NOT_FOUND, "no app \"%s\" is known in %s; `wick list` shows those that are", app_id,
                   wk__state_dir());
}

wk_status wk__store_get(wk__store *store, const char *app_id, wk__record *record) {
    if (store->folder) {
        wk_status status = wk__files_get(store->folder, app_id, record);
        return status == WK_NOT_FOUND ? unknown(app_id) : status;
    }
    sqlite3_stmt *s = prepare(store, COLUMNS "WHERE id=?");
    if (!s) return wk_error_code();
    bind(s, 1, app_id);
    int got = sqlite3_step(s);
    wk_status status = WK_OK;
    if (got == SQLITE_ROW)
        read_row(s, record);
    else if (got == SQLITE_DONE)
        status = unknown(app_id);
    else
        status = fail(store);
    (void)sqlite3_finalize(s);
    return status;
}

wk_status wk__store_list(wk__store *store, const char *scheduler, wk__record **records, size_t *count) {
    wk_status status = WK_OK;
    size_t room = 0;
    *records = NULL;
    *count = 0;
    if (store->folder) return wk__files_list(store->folder, scheduler, records, count);
    sqlite3_stmt *s = prepare(store, COLUMNS "WHERE ?1 IS NULL OR scheduler=?1 ORDER BY created_at DESC, id");
    if (!s) return wk_error_code();
    if (scheduler) bind(s, 1, scheduler);
    int got;
    while ((got = sqlite3_step(s)) == SQLITE_ROW) {
        if (*count == room) {
            room = room ? room * 2 : 64;
            wk__record *more = wk_realloc(*records, room * sizeof **records);
            if (!more) {
                status = wk_error_code();
                break;
            }
            *records = more;
        }
        read_row(s, &(*records)[(*count)++]);
    }
    if (status == WK_OK && got != SQLITE_DONE) status = fail(store);
    (void)sqlite3_finalize(s);
    if (status != WK_OK) {
        wk_free(*records);
        *records = NULL;
        *count = 0;
    }
    return status;
}
