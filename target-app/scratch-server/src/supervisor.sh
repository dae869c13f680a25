# Runs the server until whoever started it is gone: $1 is the run's directory, $2 its lock file (beside which is what
# the run has on disk if $1 is in memory), $3 the signal that stops the server, the rest the server's command line. Standard input is a pipe that the
# owner holds open; its end means that the owner stopped, was interrupted or was killed. Standard output is the locked lock file, held so that nobody
# collects the directory while this script still works on it.
run=$1 lock=$2 signal=$3
shift 3
exec 3<&0 4>&1 </dev/null >>"$run/log" 2>&1

# Ctrl-C is for the owner to judge: it still needs the server to finish what it is doing.
trap '' INT TERM HUP
released=
trap 'released=yes' USR1

# The server gets neither the pipe nor the lock: a server whose supervisor was killed must be collectable.
"$@" 3<&- 4>&- &
server=$!

# Repeated, because a server that has not yet installed its handlers ignores the signal. The last `sleep` outlives this
# script by a moment, and must not keep anything of the run open.
{
    read -r _ <&3
    kill -USR1 $$
    while kill -"$signal" "$server"; do sleep 1; done
} >/dev/null 2>&1 4>&- &
watcher=$!

wait "$server"
status=$?
# The signal cuts the first wait short.
if [ -n "$released" ]; then wait "$server"; fi
kill -KILL "$watcher" 2>/dev/null
# A server that ended by itself leaves its log for the owner to read.
if [ -n "$released" ]; then rm -rf "$run" "${lock%.lock}" "$lock"; fi
exit "$status"
