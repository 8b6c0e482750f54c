/* container_end.c: what a container's client leaves when it is killed: the container.
 *
 * The client wrote the container's number into the replica's folder.  Removing it by force does no harm to one that is
 * gone, and ends one that a daemon keeps where no signal of ours reaches it.
 */
#include "launcher/launcher.h"

#include <string.h>
#include <unistd.h>

static const double PATIENCE = 30;

void wk__container_end(const char *directory, const char *client, wk__replica *replica) {
    char *path = wk_format("%s/container", directory);
    char *number = path ? wk__read_file(path, 256, NULL) : NULL;
    if (number && *number) {
        wk__command c;
        number[strcspn(number, "\n")] = '\0';
        const char *const argv[] = { client, "rm", "--force", number, NULL };
        if (wk__command_run(argv, PATIENCE, &c) != WK_OK) wk_clear_error();
        wk__command_free(&c);
        if (replica && replica->exit_code > 128 && replica->exit_code < 128 + 32) {
            replica->signal = replica->exit_code - 128;
            replica->exit_code = 0;
        }
    }
    if (path) (void)unlink(path);
    wk_free(number);
    wk_free(path);
}
