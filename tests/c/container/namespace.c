/* Runs a program as container engines do: in a cgroup namespace whose root is the cgroup that this one is in, with
 * the hierarchy mounted anew. Issue 4, line 6. Needs root.
 *
 * Arguments: cgroup version, controller, a folder for the mount (made if absent), program, its arguments. */
#include "check.h"
#include <sched.h>
#include <sys/mount.h>

int main(int argc, char **argv) {
    CHECK(argc > 4, "VERSION CONTROLLER FOLDER PROGRAM...");
    int first = strcmp(argv[1], "1") == 0;
    CHECK(unshare(CLONE_NEWCGROUP | CLONE_NEWNS) == 0, "unshare: %s", strerror(errno));
    CHECK(mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 || errno == EINVAL, "private: %s", strerror(errno));
    CHECK(mkdir(argv[3], 0755) == 0 || errno == EEXIST, "%s: %s", argv[3], strerror(errno));
    CHECK(mount("cgroup", argv[3], first ? "cgroup" : "cgroup2", 0, first ? argv[2] : NULL) == 0, "%s: %s", argv[3],
          strerror(errno));
    execvp(argv[4], argv + 4);
    CHECK(0, "%s: %s", argv[4], strerror(errno));
}
