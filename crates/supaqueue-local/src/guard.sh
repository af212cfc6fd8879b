# Runs a program on behalf of an owner and never outlives either of them.
#
# The owner holds the other end of this script's standard input. When it closes,
# because the owner let go or was killed, the program is stopped: first with the
# signal $1, after five seconds with KILL. The first line written is the program's
# process id, the last one how it ended. What the program writes goes to standard error.
signal=$1
shift
exec 3<&0
"$@" </dev/null >&2 3<&- &
program=$!
echo "$program"
{
  while read -r _; do :; done
  kill -s "$signal" "$program"
  tries=0
  while kill -0 "$program" && [ "$tries" -lt 50 ]; do
    sleep 0.1
    tries=$((tries + 1))
  done
  kill -s KILL "$program"
} <&3 >/dev/null 2>&1 &
watcher=$!
wait "$program"
status=$?
kill -s KILL "$watcher" 2>/dev/null
echo "exited $status"
