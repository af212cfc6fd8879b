# Makes a temporary folder in $1, writes its name, and removes it when the owner
# of this script's standard input lets go or is killed.
folder=$(mktemp -d "$1/supaqueue-XXXXXXXX") || exit
echo "$folder"
while read -r _; do :; done
tries=0
# A program that is just being stopped may still be writing into it.
until rm -rf "$folder" 2>/dev/null || [ "$tries" -ge 100 ]; do
  sleep 0.1
  tries=$((tries + 1))
done
