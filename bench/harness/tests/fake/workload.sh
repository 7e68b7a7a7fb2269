#!/bin/sh
# Stands for the binary `workload` in tests of the harness. The name of the preloaded file says what goes
# wrong with it; each run leaves a line in $FAKE_LOG. (The loader's complaint about that file is expected: it is empty.)
library=${LD_PRELOAD:-}
unset LD_PRELOAD
[ -z "${FAKE_LOG:-}" ] || echo "$* with ${library##*/}" >>"$FAKE_LOG"

describe() {
    printf '{"name":"%s","group":"%s","models":"m","source":"s","sensitive_to":"t","threads":2,' "$1" "$2"
    printf '"scales_with_threads":%s,"latency":%s,"program":%s}' "$3" "$4" "$5"
}

if [ "$1" = list ]; then
    printf '['
    describe alpha classic true true null
    printf ','
    describe beta scene false false null
    printf ','
    describe tool program false false '{"package":"tool","missing":null}'
    printf ','
    describe absent program false false '{"package":"absent-tools","missing":"no program absent in PATH"}'
    printf ']\n'
    exit
fi

command=$1 name=$2 threads=2 rest=null latency=null preload=
shift 2
while [ $# -gt 0 ]; do
    case $1 in
    --threads) threads=$2 ;;
    --rest) rest=500 ;;
    --preload) preload=$2 ;;
    esac
    shift 2
done
[ "$command" = program ] && library=$preload
[ "$rest" = null ] && [ "$command" = run ] && latency='{"allocate":[[10,90],[50,9],[900,1]],"free":[[8,100]]}'
allocator=${library:-/lib/x86_64-linux-gnu/libc.so.6}
checksum=77 wall=0.5
case ${library##*/} in
crash*) kill -s SEGV $$ ;;
hang*) exec sleep 1000 ;;
slow*) sleep 0.3 ;;
other*) allocator=/somewhere/else.so ;;
differs*) checksum=78 ;;
fast*) wall=0.25 ;;
babbles*) echo 'no outcome' && exit 0 ;;
fails*) echo 'a reason to fail' >&2 && exit 9 ;;
esac
cat <<END
{"workload":"$name","threads":$threads,"operations":1000,"wall":$wall,"user":$wall,"system":0.01,
 "peak_rss":2048,"start_rss":1024,"rest_rss":$rest,"minor_faults":300,"major_faults":0,
 "voluntary_switches":1,"involuntary_switches":2,"allocator":"$allocator","checksum":$checksum,
 "latency":$latency,"extra":[],"rss_by_work":[]}
END
