# Runs a program in its own mount namespace, with a small disk mounted at the folder $1.
# Where the system allows it, an unprivileged user becomes root in a user namespace for the mount only.
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
