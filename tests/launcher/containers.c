/* The schedulers `podman` and `docker`: real containers of runc, with a busybox for an image. */
#include "launcher/harness.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char storage[64], reason[300]; /* in /tmp: podman allows its runroot 50 characters */

static outcome shell(const char *script) {
    return run_program((const char *const[]){ "sh", "-c", script, "sh", storage, NULL });
}

static void remove_storage(void) {
    outcome o = shell("podman rm -fa >/dev/null 2>&1; umount -l \"$1/g/overlay\" 2>/dev/null; rm -rf \"$1\"");
    forget(&o);
}

static void containers_begin(void) {
    char path[128];
    state_begin();
    (void)snprintf(storage, sizeof storage, "/tmp/wick-XXXXXX");
    cr_assert_not_null(mkdtemp(storage));
    (void)snprintf(path, sizeof path, "%s/containers.conf", storage);
    (void)setenv("CONTAINERS_CONF", path, 1);
    (void)snprintf(path, sizeof path, "%s/storage.conf", storage);
    (void)setenv("CONTAINERS_STORAGE_CONF", path, 1);
    outcome o = shell(
        "command -v podman runc >/dev/null && [ -x /bin/busybox ] || { echo podman, runc or busybox-static is not "
        "installed >&2; exit 1; }\n"
        "cd \"$1\" && mkdir -p root/bin root/tmp && cp /bin/busybox root/bin\n"
        "for a in sh echo cat printf sleep env test touch true; do ln -s busybox root/bin/$a; done\n"
        "printf "
        "'[containers]\\ndefault_ulimits=[\"nofile=1024:1024\",\"nproc=4096:4096\"]\\n[engine]\\nruntime=\"runc\"\\n"
        "cgroup_manager=\"cgroupfs\"\\nevents_logger=\"none\"\\n' >containers.conf\n"
        "printf '[storage]\\ndriver=\"overlay\"\\ngraphroot=\"%s/g\"\\nrunroot=\"%s/r\"\\n' \"$1\" \"$1\" "
        ">storage.conf\n"
        "tar -C root -cf root.tar . && podman import root.tar localhost/bb:1 >/dev/null 2>&1 && "
        "podman run --rm --network host localhost/bb:1 true");
    if (o.code != 0) (void)snprintf(reason, sizeof reason, "%.*s", (int)strcspn(o.err, "\n"), o.err);
    forget(&o);
    if (*reason) remove_storage(); /* a skipped test has no end */
}

static void containers_end(void) {
    state_end_apps();
    state_end_files();
    remove_storage();
}

static void containers_needed(void) {
    if (!*reason) return;
    (void)fprintf(stderr, "\n*** SKIPPED: no containers here: %s\n", reason);
    cr_skip_test("no containers here: %s", reason);
}

TestSuite(containers, .init = containers_begin, .fini = containers_end, .timeout = 120);

static void none_is_left(void) {
    outcome o = shell("podman ps -aq");
    cr_expect_str_eq(o.out, "", "containers are left: %s", o.out);
    forget(&o);
}

Test(containers, replicas_run) {
    containers_needed();
    char text[2048];
    (void)mkdir(storage, 0700);
    (void)snprintf(
        text, sizeof text,
        "version: 1\nname: boxes\nroles:\n  - name: r\n    image: localhost/bb:1\n    num_replicas: 2\n"
        "    entrypoint: sh\n    resource: {cpu: 1, memMB: 64}\n    env: {API_TOKEN: hush, HOME: /tmp}\n"
        "    mounts: [{type: bind, src: \"%s\", dst: /data, read_only: true}, {type: volume, src: v1, dst: /v}]\n"
        "    args: [-c, 'echo rank $RANK/$WORLD_SIZE tok $API_TOKEN home $HOME mine $MINE; cat /data/word; touch "
        "/data/x 2>/dev/null || echo closed; touch /v/x && echo volume; echo oops >&2; "
        "cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null; true']\n",
        storage);
    (void)setenv("MINE", "copied", 1);
    outcome word = shell("echo there >\"$1/word\"");
    forget(&word);
    outcome o =
        WICK("run", write_file("app.yaml", text), "-s", "podman", "-cfg", "copy_env=MIN*;NO", "--wait", "--log");
    cr_assert_eq(o.code, 0, "%s", o.err);
    assert_contains(o.err, "r/1 rank 1/2 tok hush home /tmp mine copied\n");
    assert_contains(o.err, "r/0 there\n");
    assert_contains(o.err, "r/0 closed\n");
    assert_contains(o.err, "r/0 volume\n");
    assert_contains(o.err, "r/0 oops\n");
    assert_contains(o.err, "r/0 67108864\n");
    cr_assert_null(strstr(o.err, "ignores"), "%s", o.err);
    none_is_left();
    forget(&o);
}

/* The AppDef of the README as it stands, in an image of wick, its libraries and the data; in the image the
 * configuration is that of a short run. */
Test(containers, the_main_job_trains_and_ranks_meet) {
    if (tests_are_brief()) cr_skip_test("trains");
    containers_needed();
    outcome o =
        shell("set -e; cd \"$1\"; mkdir -p job/lib64 job/usr/share job/tmp job/examples/fashion_mnist; cp -r root/bin "
              "job/bin\n"
              "for f in bin/wick lib; do cp -r \"" WICK_BUILD_DIR
              "/$f\" \"job/$(dirname $f)\"; done; rm -rf job/lib/counting "
              "job/lib/watched\n"
              "for f in $(ldd job/bin/wick job/lib/*.so | sed -n 's/.*=> \\(\\/[^ ]*\\) .*/\\1/p' | sort -u); do\n"
              "  case $f in */job/*) ;; *) [ -e job/lib/${f##*/} ] || cp -L $f job/lib ;; esac\n"
              "done\n"
              "cp -L /lib64/ld-linux-x86-64.so.2 job/lib64; cp -r /usr/share/datasets job/usr/share\n"
              "sed 's/max_epochs: 4/max_steps: 4, limit_val_batches: 2/' \"" WICK_SOURCE_DIR
              "/examples/fashion_mnist/config.yaml\" >job/examples/fashion_mnist/config.yaml\n"
              "tar -C job -cf job.tar . && podman import -c 'ENV LD_LIBRARY_PATH=/lib' job.tar localhost/job:1");
    cr_assert_eq(o.code, 0, "%s", o.err);
    forget(&o);
    o = WICK("run", WICK_SOURCE_DIR "/examples/fashion_mnist/app.yaml", "-s", "podman", "-cfg", "image=localhost/job:1",
             "--wait", "--log");
    cr_assert_eq(o.code, 0, "%s", o.err);
    assert_contains(o.err, "2 ranks × 1 thread");
    assert_contains(o.err, "trainer/1 rank 1 of 2: training");
    assert_contains(o.err, "done in");
    none_is_left();
    forget(&o);
    o = WICK("run", "utils.compute_world_size", "-s", "podman", "-cfg", "image=localhost/job:1", "-j", "3", "--wait",
             "--log");
    cr_assert_eq(o.code, 0, "%s", o.err);
    assert_contains(o.err, "compute_world_size/2 rank 2 of 3: computed world size 3\n");
    none_is_left();
    forget(&o);
}

Test(containers, one_failure_ends_the_gang) {
    containers_needed();
    const char *file = write_file(
        "app.yaml",
        "version: 1\nname: gang\nroles:\n  - {name: r, image: \"localhost/bb:1\", entrypoint: sh, num_replicas: "
        "2, args: [-c, 'if [ $RANK = 1 ]; then sleep 0.3; echo \"{\\\"message\\\": \\\"it broke\\\"}\" "
        ">$TORCHELASTIC_ERROR_FILE; exit 7; fi; sleep 60']}\n");
    outcome o = WICK("run", file, "-s", "podman", "--wait", "--propagate-exit-code");
    cr_assert_eq(o.code, 7, "%d %s", o.code, o.err);
    cr_assert_lt(o.seconds, 25);
    assert_contains(o.err, "r/1 (rank 1) ended with exit code 7");
    assert_contains(o.err, "error: it broke");
    none_is_left();
    forget(&o);
}

Test(containers, nothing_outlives_cancel_or_a_killed_supervisor) {
    containers_needed();
    for (int turn = 0; turn < 2; turn++) {
        outcome o = WICK("run", "utils.sh", "-s", "podman", "--image", "localhost/bb:1", "--", "echo up; sleep 77");
        const char *handle = handle_of(&o);
        char *log = NULL;
        for (double end = wk_now() + 20; wk_now() < end; pause_for(0.1)) {
            log = app_file(handle, "sh/0/stdout.log");
            bool up = strstr(log, "up") != NULL;
            wk_free(log);
            if (up) break;
        }
        if (turn == 0) {
            outcome c = WICK("cancel", handle);
            cr_assert_eq(c.code, 0, "%s", c.err);
            forget(&c);
            cr_assert_str_eq(state_of(handle), "CANCELLED");
        } else {
            (void)kill(find_process("wick __supervise", strrchr(handle, '/') + 1), SIGKILL);
            cr_assert(becomes(handle, "FAILED", 15));
        }
        cr_assert(vanishes("sleep 77", 15), "the container's program lives on");
        for (double end = wk_now() + 10; wk_now() < end; pause_for(0.2)) {
            outcome left = shell("podman ps -aq");
            bool gone = !*left.out;
            forget(&left);
            if (gone) break;
        }
        none_is_left();
        forget(&o);
    }
}

Test(containers, hostile_strings) {
    const char *argv[HOSTILE_COUNT + 14] = {
        WICK_BINARY, "run",          "utils.binary", "-s", "podman", "-cfg", "image=localhost/bb:1",
        "--wait",    "--entrypoint", "printf",       "--", "%s\\0"
    };
    wk_text expected = { 0 };
    containers_needed();
    hostile_strings(argv + 12, &expected, false);
    outcome o = run_program(argv);
    const char *handle = handle_of(&o);
    char path[PATH_MAX];
    (void)snprintf(path, sizeof path, "%s/apps/%s/torchx_utils_binary/0/stdout.log", state_dir(),
                   strrchr(handle, '/') + 1);
    assert_file_holds(path, &expected);
    wk_text_free(&expected);
    forget(&o);
}

Test(containers, a_workspace_is_laid_over_the_image_once) {
    containers_needed();
    char folder[PATH_MAX];
    (void)snprintf(folder, sizeof folder, "%s/project", state_dir());
    (void)mkdir(folder, 0700);
    (void)write_file("project/hello", "from the workspace\n");
    for (int turn = 0; turn < 3; turn++) {
        if (turn == 2) (void)write_file("project/Dockerfile.torchx", "ARG IMAGE\nFROM $IMAGE\nCOPY hello /hi\n");
        outcome o = WICK("run", "utils.sh", "-s", "podman", "--image", "localhost/bb:1", "--workspace", folder,
                         "--wait", "--log", "--", turn == 2 ? "cat /hi" : "cat hello");
        cr_assert_eq(o.code, 0, "%s", o.err);
        assert_contains(o.err, "sh/0 from the workspace\n");
        forget(&o);
        outcome images = shell("podman images -q --filter reference=localhost/wick-patch | wc -l");
        cr_expect_eq(strtol(images.out, NULL, 10), turn == 2 ? 2 : 1, "%s", images.out);
        forget(&images);
    }
    (void)write_file("project/hello", "another\n");
    outcome o =
        WICK("run", "utils.sh", "-s", "podman", "--image", "localhost/none:1", "--workspace", folder, "--", "true");
    cr_expect_eq(o.code, 1);
    assert_contains(o.err, "podman: the image localhost/wick-patch:");
    forget(&o);
}

/* ---- without containers ---- */

static char *printed(const char *scheduler, const char *cfg_text, const char *text) {
    const wk_scheduler_ops *ops = wk_scheduler(scheduler);
    wk_appdef *app = wk_appdef_parse(text, strlen(text), "app.yaml");
    wk_cfg *cfg = app ? wk_cfg_parse(ops->name, ops->runopts, ops->runopt_count, cfg_text) : NULL;
    wk_request *request = cfg ? ops->dryrun(app, cfg, "job-1") : NULL;
    char *out = request ? wk_request_print(request) : NULL;
    wk_request_free(request);
    wk_cfg_free(cfg);
    wk_appdef_free(app);
    return out;
}

Test(containers_dryrun, words, .init = state_begin, .fini = state_end) {
    static const char text[] =
        "version: 1\nname: job\nroles:\n  - name: r\n    image: i\n    entrypoint: wick\n    args: [train, "
        "\"${img_root}\"]\n"
        "    num_replicas: 2\n    env: {A_KEY: hush, PATH: /x}\n    resource: {cpu: 2, memMB: 100, gpu: 2, devices: "
        "{vpc.amazonaws.com/efa: 2}}\n    mounts: [{type: bind, src: \"/a,b\", dst: /c}, {type: device, src: "
        "/dev/fuse, "
        "permissions: rw}]\n";
    char *out = printed(
        "docker", "network=mine,privileged=yes,init=no,restart=on-failure:3,env=\"X:1\",args=\"--ulimit;nofile=9\"",
        text);
    cr_assert_not_null(out, "%s", wk_message());
    assert_contains(out, "docker run --cidfile ");
    assert_contains(out,
                    " --name job-1-r-0 --network mine --hostname job-1-r-0 --label torchx.pytorch.org/app-id=job-1 ");
    assert_contains(out, " --restart on-failure:3 --privileged --mount ");
    assert_contains(out,
                    " --cpus 2 --memory 100m --shm-size 100m --gpus '\"device=0,1\"' --device "
                    "/dev/infiniband/uverbs0 --device /dev/infiniband/uverbs1 --mount 'type=bind,\"src=/a,b\",dst=/c' "
                    "--device /dev/fuse:/dev/fuse:rw --env X=1 --env RANK ");
    assert_contains(out, " --gpus '\"device=2,3\"' "); /* the next replica's */
    assert_contains(
        out, " --env A_KEY --env PATH=/x --env TORCHX_IMAGE=i --ulimit nofile=9 --entrypoint '' i wick train ''\n");
    assert_contains(out, "A_KEY='***'");
    assert_contains(out, "MASTER_ADDR=job-1-r-0\n");
    cr_assert_null(strstr(out, "hush"));
    wk_free(out);
    out = printed("podman", NULL, text);
    assert_contains(out, " --network host --label ");
    assert_contains(out, " --rm --init ");
    assert_contains(out, " --device nvidia.com/gpu=0 --device nvidia.com/gpu=1 ");
    wk_free(out);
}

Test(containers_dryrun, refusals, .init = state_begin, .fini = state_end) {
    cr_assert_null(printed("podman", NULL, "version: 1\nname: a\nroles: [{name: r, entrypoint: x}]\n"));
    cr_assert_str_eq(wk_message(), "podman: role \"r\" has no image (nor does -cfg image=… give one)");
    wk_clear_error();
    cr_assert_null(
        printed("docker", NULL,
                "version: 1\nname: a\nroles: [{name: r, image: i, entrypoint: x, env: {DOCKER_PASSWORD: x}}]\n"));
    cr_assert_str_eq(wk_message(),
                     "docker: role \"r\": the secret variable DOCKER_PASSWORD is one that docker reads itself");
    wk_clear_error();
    (void)setenv("PATH", "/nonexistent", 1);
    outcome o =
        run_program((const char *const[]){ WICK_BINARY, "run", "utils.echo", "-s", "docker", "--image", "i", NULL });
    assert_contains(o.err, "wick: docker: no program \"docker\"; install it, or run without it: -s local\n");
    forget(&o);
    (void)setenv("PATH", "/usr/local/bin:/usr/bin:/bin", 1);
}
