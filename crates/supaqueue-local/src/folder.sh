# Creates a temporary folder in $1, prints its path, and removes it when standard
# input closes: when the owner drops the folder, or dies.
folder=$(mktemp -d "$1/supaqueue-XXXXXXXX") || exit
echo "$folder"
while read -r _; do :; done
tries=0
# A program that is still shutting down may be writing into it.
until rm -rf "$folder" 2>/dev/null || [ "$tries" -ge 100 ]; do
  sleep 0.1
  tries=$((tries + 1))
done
