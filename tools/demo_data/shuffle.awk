# Puts a key before each line; sorting by it and cutting it off gives a fixed shuffle. With `max_bytes`, what
# sorting leaves in front and fits is kept (run again with strip=1).
strip == "" { printf "%010d\t%s\n", hash(NR, 5), $0; next }
{ sub(/^[0-9]+\t/, ""); bytes += length($0) + 1 }
max_bytes == "" || bytes <= max_bytes
