# Runs a program in a mount namespace of its own, where the folder $1 is a small disk.
# An ordinary user becomes root for the mount alone, where the system lets users do so.
disk=$1
shift
export TMPDIR="$disk" SUPAQUEUE_CHAOS_DISK="$disk"
mount='mount -t tmpfs -o size=256m,mode=1777 supaqueue-chaos "$TMPDIR"'
uid=$(id -u)
gid=$(id -g)
if [ "$uid" = 0 ]; then
  exec unshare --mount sh -c "$mount"' && exec "$@"' small-disk "$@"
fi
exec unshare --map-root-user --mount sh -c \
  "$mount"' && exec unshare --user --map-user='"$uid"' --map-group='"$gid"' "$@"' small-disk "$@"
