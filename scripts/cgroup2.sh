#!/bin/bash
# Tests containers of cgroup version 2 in a small virtual machine: memory.max, memory.high and cpu.max set there
# for each of the programs of tests/c/container, an ancestor's limits, a cgroup namespace. Prints PASS or FAIL for
# each from inside the machine and ends with status 0 if all passed.
#
# Takes about a minute, after the library is built: the processor is emulated, so that it runs anywhere. Needs Linux on x86-64 with
#   qemu-system-x86_64, a static busybox, cpio    Debian: qemu-system-x86 busybox-static cpio
#   a kernel: $KERNEL, or the newest readable /boot/vmlinuz-*
#
#   scripts/cgroup2.sh              with what is there
#   scripts/cgroup2.sh --install    installs those packages first, and where there is no kernel, unpacks Debian's
#                                   cloud kernel below the target directory (it is not installed)
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
target=${CARGO_TARGET_DIR:-$PWD/target}
work=$target/cgroup2
rm -rf "$work/root"
mkdir -p "$work/root"/{bin,dev,proc,sys,tmp,tests}

install=${1:-}
if [ -n "$install" ] && [ "$install" != --install ]; then
    echo "usage: scripts/cgroup2.sh [--install]; '$install' is not understood" >&2
    exit 2
fi
if [ "$install" = --install ]; then
    DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
        qemu-system-x86 busybox-static cpio >/dev/null
fi
for program in qemu-system-x86_64 busybox cpio cc; do
    if ! command -v "$program" >/dev/null; then
        echo "'$program' is not installed; scripts/cgroup2.sh --install gets it" >&2
        exit 2
    fi
done

kernel=${KERNEL:-}
# Nothing where there is none: a folder that is not there is no error.
newest() { { find "$@" -name 'vmlinuz-*' -readable 2>/dev/null || true; } | sort -V | tail -n 1; }
[ -n "$kernel" ] || kernel=$(newest /boot "$work/kernel")
if [ -z "$kernel" ] && [ "$install" = --install ]; then
    package=$(apt-cache depends linux-image-cloud-amd64 | sed -n 's/^ *Depends: \(linux-image-.*\)$/\1/p' | head -n 1)
    mkdir -p "$work/kernel"
    (cd "$work/kernel" && apt-get download -q "$package" >/dev/null && dpkg-deb -x "$package"_*.deb .)
    kernel=$(newest "$work/kernel")
fi
if [ -z "$kernel" ]; then
    echo "no kernel: set KERNEL, or scripts/cgroup2.sh --install gets one" >&2
    exit 2
fi

cargo xtask build | tail -n 2
library=$target/release/libstratalloc.so

# Puts a program or library, with the libraries that it loads, where it is on this machine.
add() {
    local file
    for file in $(ldd "$1" | grep -o '/[^ ]*'); do
        install -D "$file" "$work/root$file"
    done
}
root=$work/root
cp "$(command -v busybox)" "$root/bin/busybox"
cp "$library" "$root/tests/libstratalloc.so"
add "$library"
for program in container/fragments container/soft_limit container/hard_limit container/parked_heaps \
    container/namespace process/small_program; do
    name=$(basename "$program")
    cc -O1 -g -fno-builtin -pthread -Itests/c -o "$root/tests/$name" "tests/c/$program.c"
    add "$root/tests/$name"
done

cat >"$root/init" <<'INIT'
#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin:/tests
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t cgroup2 cgroup2 /sys/fs/cgroup
root=/sys/fs/cgroup
echo "+memory +cpu" >$root/cgroup.subtree_control
echo "KERNEL $(uname -r), $(nproc) CPUs, $(cat $root/cgroup.controllers)"

verdict() { # NAME CONDITION...
    name=$1
    shift
    if "$@"; then echo "PASS $name"; else
        echo "FAIL $name"
        sed 's/^/     /' /tmp/out /tmp/err
        grep -E '^(cpus|parked|memory|soft)' /tmp/figures | sed 's/^/     /'
    fi
}
fresh() { # a cgroup `job`, and `job/inner` with the controllers
    rmdir $root/job/inner $root/job 2>/dev/null
    mkdir $root/job
    echo "+memory +cpu" >$root/job/cgroup.subtree_control
    mkdir $root/job/inner
    inner=$root/job/inner
}
run() { # OPTIONS PROGRAM ARGS...: in job/inner on the library; its status
    options=$1
    shift
    STRATALLOC=$options timeout -s KILL 60 sh -c 'echo 0 >/sys/fs/cgroup/job/inner/cgroup.procs
        export LD_PRELOAD=/tests/libstratalloc.so STRATALLOC_EXPECT=/tests/libstratalloc.so
        exec "$@"' sh "$@" >/tmp/out 2>/tmp/err
    status=$?
    mv /tmp/report /tmp/figures 2>/dev/null || : >/tmp/figures
    return $status
}
# Threads that leave at the same time may be a few more than the limit.
parked() { [ "$(figure cpus)" = "$1" -a "$(figure parked)" -ge "$2" -a "$(figure parked)" -lt $(($2 + 4)) ]; }
figure() { sed -n "s/^$1 //p" /tmp/figures; }
killed() { [ "$(sed -n 's/^oom_kill //p' $inner/memory.events)" -gt 0 ]; }
M=1048576

huge=/sys/kernel/mm/transparent_hugepage/enabled
was=$(sed 's/.*\[\(.*\)\].*/\1/' $huge)
echo never >$huge
fresh
echo $((128 * M)) >$inner/memory.max
run dirty_min=1G fragments 80 70
status=$? peak=$(($(cat $inner/memory.peak) / 1024))
verdict "fragments stay well below memory.max, peak $peak KiB" test $status = 0 -a $peak -lt $((122 * 1024))
# A huge page of which a part was given back counts as a whole until the kernel needs it.
echo "$was" >$huge
fresh
echo $((128 * M)) >$inner/memory.max
run dirty_min=1G fragments 80 70
status=$? peak=$(($(cat $inner/memory.peak) / 1024))
verdict "fragments with transparent huge pages '$was' are not killed, peak $peak KiB" test $status = 0
fresh
echo $((128 * M)) >$inner/memory.max
run dirty_min=1G,follow_cgroup=0 fragments 80 70
verdict "without following the same is killed" killed

fresh
echo $((128 * M)) >$inner/memory.max
run report=/tmp/report,dirty_min=64M soft_limit $((112 * 1024))
verdict "soft limit of 7/8 of memory.max: purge, then one call an excursion" \
    test $? = 0 -a "$(figure soft_limit)" = $((112 * M)) -a "$(figure memory_max)" = $((128 * M))

fresh
echo $((100 * M)) >$inner/memory.high
run report=/tmp/report,dirty_min=64M soft_limit $((100 * 1024)) 4096
verdict "memory.high is the soft limit" test $? = 0 -a "$(figure memory_high)" = $((100 * M))

fresh
echo $((80 * M)) >$root/job/memory.max
echo $((160 * M)) >$inner/memory.max
run show small_program
verdict "an ancestor's tighter limit counts" grep -q "soft limit       70.0 MiB  7/8 of the cgroup's memory.max" /tmp/err
run show namespace 2 memory /tmp/cgroups small_program
verdict "in a cgroup namespace only the cgroup's own limit shows" \
    grep -q "soft limit      140.0 MiB  7/8 of the cgroup's memory.max" /tmp/err

fresh
run report=/tmp/report,own_heaps=24 parked_heaps 24
verdict "two CPUs by affinity: 16 parked heaps" parked 2 16
echo "50000 100000" >$inner/cpu.max
run report=/tmp/report,own_heaps=24 parked_heaps 24
verdict "half a CPU by cpu.max: 8" parked 1 8
echo "max 100000" >$inner/cpu.max
echo "100000 100000" >$root/job/cpu.max
run report=/tmp/report,own_heaps=24 parked_heaps 24
verdict "one CPU by an ancestor's cpu.max: 8" parked 1 8

fresh
echo $((128 * M)) >$inner/memory.max
run limit=64M,dirty_min=1G hard_limit
verdict "hard limit: null and ENOMEM, after reuse" test $? = 0
echo "END"
poweroff -f
INIT
chmod +x "$root/init"
(cd "$root" && find . | cpio --quiet -o -H newc | gzip -1) >"$work/initramfs"

timeout 240 qemu-system-x86_64 -accel tcg,thread=multi -cpu max -smp 2 -m 768 -nographic -no-reboot -nodefaults \
    -serial stdio -kernel "$kernel" -initrd "$work/initramfs" \
    -append "console=ttyS0 quiet panic=-1" </dev/null | tr -d '\r' | sed -u 's/.*\(KERNEL \)/\1/' | tee "$work/log" |
    grep --line-buffered -aE '^(KERNEL|PASS|FAIL|END|     )' || true

if ! grep -q '^END' "$work/log"; then
    echo "the machine did not get to its end; its console is in $work/log" >&2
    exit 1
fi
! grep -q '^FAIL' "$work/log"
