#!/bin/sh
# Does to a node what the published upgrade images do, with their weaknesses: the binary is copied in place, its checksum is the only thing
# looked at, the service is ended by signals as the very last act, and nobody waits for it to come back.
set -e
[ "${1:-}" = upgrade ] || { echo "unknown command: ${1:-}" >&2; exit 1; }

service=
for process in /proc/[0-9]*; do
  line=$(tr '\0' ' ' <"$process/cmdline" 2>/dev/null) || continue
  case $line in
    "/usr/bin/rke2 server"* | "/usr/bin/rke2 agent"* | "/usr/local/bin/rke2 server"* | "/usr/local/bin/rke2 agent"* | "/opt/rke2/bin/rke2 server"* | "/opt/rke2/bin/rke2 agent"*)
      [ -z "$service" ] || { echo "more than one rke2 is running: $service ${process#/proc/}" >&2; exit 1; }
      service=${process#/proc/} ;;
  esac
done
[ -n "$service" ] || { echo "no rke2 is running" >&2; exit 1; }
binary=/host$(tr '\0' '\n' <"/proc/$service/cmdline" | head -n 1)
echo "process $service runs $binary"

if [ "$(sha256sum <"$binary")" = "$(sha256sum </opt/rke2)" ]; then
  echo "the binary is the new one already"
  exit 0
fi
cp -f /opt/rke2 "$binary"
for role in server agent; do
  settings=$(dirname "$binary")/../lib/systemd/system/rke2-$role.env
  grep -q '^HOME=' "$settings" 2>/dev/null || echo HOME=/root >>"$settings"
done

containerd=
children=
for process in /proc/[0-9]*; do
  { read -r name <"$process/comm" && read -r state <"$process/stat"; } 2>/dev/null || continue
  case $name in containerd | kubelet) ;; *) continue ;; esac
  # What follows the name in parentheses: state, parent, …
  set -- ${state##*) }
  [ "$2" = "$service" ] || continue
  children="$children ${process#/proc/}"
  [ "$name" = containerd ] && containerd=$process
done
echo "ending $service$children"
kill $children "$service"
# A containerd of version 2 that starts again discards what ended while it was down, and nobody can say any more how: of a good upgrade the
# first pod fails, with exit code 255. The versions 1 remember. With its shim gone, no containerd can know.
tries=20
while [ "$tries" -gt 0 ] && [ -e "$containerd/exe" ]; do
  tries=$((tries - 1))
  sleep 0.05
done
kill -KILL "$PPID"
