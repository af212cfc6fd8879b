# Becomes a program (`exec`) and leaves a watcher in its process group, which
# stops the program when asked to or when the owner dies.
#
# The owner holds the other end of standard input. A line on it, or its closing,
# stops the program: first with the signal $1, after five seconds with KILL. Then
# the watcher stays until standard input closes, because a process id is not
# reused while a process group has that id: whatever the owner signals until then
# is this program or nothing. What the program writes goes to standard error.
signal=$1
shift
exec 3<&0
{
  read -r _
  kill -s "$signal" "$$"
  tries=0
  while kill -0 "$$" && [ "$tries" -lt 50 ]; do
    sleep 0.1
    tries=$((tries + 1))
  done
  kill -s KILL "$$"
  while read -r _; do :; done
} <&3 >/dev/null 2>&1 &
exec "$@" </dev/null >&2 3<&-
