# Runs in a k6 pod, as its first process: sh -c "$(cat pod.sh)" k6-pod FILES_DIR RUN_DIR WAIT_SECONDS k6 run …
# Needs what the k6 image has: a POSIX shell and busybox's programs.
files=$1 run=$2 wait_seconds=$3
shift 3
trap 'echo "k6-pod: told to stop before its load came" >&2; exit 143' TERM INT

mkdir -p "$run/corpus" || exit 70
for file in "$files"/corpus/*; do
  name=${file##*/}
  # The pieces of a large file come in the order of their names.
  case $name in
    *.part[0-9][0-9][0-9]) cat "$file" >>"$run/corpus/${name%.part*}" || exit 70 ;;
    *) ln -sf "$file" "$run/corpus/$name" || exit 70 ;;
  esac
done
echo "k6-pod: ready"

tries=$((wait_seconds * 20))
while [ ! -f "$run/load.json" ]; do
  if [ "$tries" -le 0 ]; then
    echo "k6-pod: no load came within $wait_seconds s; whoever started this pod is gone" >&2
    exit 75
  fi
  tries=$((tries - 1))
  sleep 0.05
done

centiseconds() {
  read -r up _ </proc/uptime
  echo "${up%.*}${up#*.}"
}
# Of the waiting so far. Not in a subshell, which would tell its own times; the
# second line is of the children.
times >"$run/times"
before=$(sed -n '2s/ /,/p' "$run/times")
started=$(centiseconds)
"$@" &
k6=$!
# k6 ends its iterations and writes its summary after the first signal.
trap 'kill -TERM "$k6" 2>/dev/null' TERM INT
wait "$k6"
exit=$?
# A signal ends `wait` and not k6.
while kill -0 "$k6" 2>/dev/null; do
  wait "$k6"
  exit=$?
done
trap '' TERM INT
ended=$(centiseconds)

times >"$run/times"
cpu=$(sed -n '2s/ /,/p' "$run/times")
for file in /sys/fs/cgroup/memory.peak /sys/fs/cgroup/memory/memory.max_usage_in_bytes; do
  if [ -r "$file" ]; then
    memory=$(cat "$file")
    break
  fi
done

echo "exit=$exit wall_centiseconds=$((ended - started)) cpu_before=$before cpu=$cpu max_memory_bytes=${memory:-0}" >"$run/block"
if [ -f "$run/summary.json" ]; then
  cat "$run/summary.json" >>"$run/block"
  echo >>"$run/block"
fi
# k6's own last words must not come between.
sum=$(sha256sum <"$run/block")
printf '\ntempo-perf/frame begin %s %s\n' "$(wc -c <"$run/block" | tr -d ' ')" "${sum%% *}"
cat "$run/block"
echo "tempo-perf/frame end"
exit "$exit"
