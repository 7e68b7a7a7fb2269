/*
 * Shows: operator new without any C++ runtime in the process works, and out of memory ends with a
 * message and SIGABRT instead of a jump into nothing; nothrow new returns null.
 * Run under preload or linked with the library. Exit 0 = pass.
 */
#include "loaded.h"
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

void *_Znwm(size_t), *_ZnwmRKSt9nothrow_t(size_t, const void *);
void _ZdlPv(void *);
#pragma weak _Znwm
#pragma weak _ZnwmRKSt9nothrow_t
#pragma weak _ZdlPv

int main(void) {
    if (!_Znwm || !_ZnwmRKSt9nothrow_t || !_ZdlPv)
        return fprintf(stderr, "operator new is not there\n"), 2;
    _ZdlPv(_Znwm(100));
    if (_ZnwmRKSt9nothrow_t(SIZE_MAX / 2, "") != NULL)
        return fprintf(stderr, "nothrow new gave a block\n"), 1;
    int ends[2];
    if (pipe(ends) != 0)
        return 2;
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], 2);
        _Znwm(SIZE_MAX / 2);
        _exit(0);
    }
    close(ends[1]);
    char text[512] = "";
    ssize_t got = read(ends[0], text, sizeof text - 1);
    int status = 0;
    waitpid(child, &status, 0);
    if (got <= 0 || !strstr(text, "std::bad_alloc"))
        return fprintf(stderr, "no message, but: %s\n", text), 1;
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGABRT)
        return fprintf(stderr, "ended with status %x\n", status), 1;
    return 0;
}
