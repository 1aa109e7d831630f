// Tries every way to change the file argv[1] or what is shown of it. Prints
// one line for each that worked. Run it as whoever the action is.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <linux/mount.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

static const char *file;
static const char *stage;

static void worked(const char *what, int yes) {
    if (yes)
        printf("%s: %s of %s worked\n", stage, what, file);
}

static int tried(int flags) {
    int fd = open(file, flags);
    if (fd >= 0)
        close(fd);
    return fd >= 0;
}

static void contents(void) {
    char path[64], beside[4096];
    struct timespec times[2] = {{1, 0}, {1, 0}};
    worked("open for writing", tried(O_WRONLY));
    worked("open for both", tried(O_RDWR));
    worked("open for appending", tried(O_WRONLY | O_APPEND));
    worked("open with truncation", tried(O_RDONLY | O_TRUNC));
    worked("truncate", truncate(file, 0) == 0);
    worked("chmod", chmod(file, 0777) == 0);
    worked("chown", chown(file, 1, 1) == 0);
    worked("utimensat", utimensat(AT_FDCWD, file, times, 0) == 0);
    worked("setxattr", setxattr(file, "user.x", "x", 1, 0) == 0);
    worked("unlink", unlink(file) == 0);
    worked("rmdir", rmdir(file) == 0);

    snprintf(beside, sizeof beside, "%s.beside", file);
    worked("rename", rename(file, beside) == 0);
    worked("link", link(file, beside) == 0);
    int made = open(beside, O_CREAT | O_WRONLY, 0600);
    if (made >= 0) {
        worked("rename over", rename(beside, file) == 0);
        worked("exchange", renameat2(AT_FDCWD, beside, AT_FDCWD, file, RENAME_EXCHANGE) == 0);
        unlink(beside);
        close(made);
    }

    int fd = open(file, O_RDONLY);
    if (fd < 0)
        return;
    int flags = FS_IMMUTABLE_FL;
    worked("fchmod", fchmod(fd, 0777) == 0);
    worked("futimens", futimens(fd, times) == 0);
    worked("ftruncate", ftruncate(fd, 0) == 0);
    worked("fallocate", fallocate(fd, 0, 0, 1 << 20) == 0);
    worked("FS_IOC_SETFLAGS", ioctl(fd, FS_IOC_SETFLAGS, &flags) == 0);
    worked("mmap for writing",
           mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0) != MAP_FAILED);
    void *readable = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);
    worked("mprotect for writing",
           readable != MAP_FAILED && mprotect(readable, 4096, PROT_READ | PROT_WRITE) == 0);
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    int again = open(path, O_RDWR);
    worked("reopening through /proc", again >= 0);
    worked("write to a read-only descriptor", write(fd, "x", 1) == 1);
    close(fd);
}

static void mounts(void) {
    struct mount_attr writable = {.attr_clr = MOUNT_ATTR_RDONLY};
    worked("remount", mount(NULL, file, NULL, MS_REMOUNT | MS_BIND, NULL) == 0);
    worked("remount of the root", mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND, NULL) == 0);
    worked("mount_setattr",
           syscall(SYS_mount_setattr, AT_FDCWD, file, 0, &writable, sizeof writable) == 0);
    worked("umount", umount2(file, 0) == 0);
    worked("umount -l", umount2(file, MNT_DETACH) == 0);
    int tree = syscall(SYS_open_tree, AT_FDCWD, file, OPEN_TREE_CLONE);
    if (tree >= 0)
        worked("a writable clone",
               syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH, &writable, sizeof writable) == 0);
}

static void in_child(const char *name, int namespaces) {
    fflush(stdout);
    if (fork() == 0) {
        stage = name;
        if (unshare(namespaces) == 0) {
            contents();
            mounts();
        }
        fflush(stdout);
        _exit(0);
    }
    wait(NULL);
}

int main(int argc, char **argv) {
    for (int i = 1; i < argc; i++) {
        file = argv[i];
        stage = "plainly";
        struct stat seen;
        if (stat(file, &seen) != 0) {
            printf("%s is not there: %s\n", file, strerror(errno));
            return 1;
        }
        contents();
        mounts();
        in_child("in a mount namespace", CLONE_NEWNS);
        in_child("in a user namespace", CLONE_NEWUSER | CLONE_NEWNS);
    }
    printf("done\n");
    return 0;
}
