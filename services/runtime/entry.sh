#!/bin/sh
# Runs a job's command as the first process below Docker's init (or in a session of its own where jobs are
# plain processes). Its output goes to a file, because the engine's own log loses lines. Works in dash,
# busybox and bash; nothing but sh may be assumed.
L=${ATELIER_LOG:-/studio/user_logs/std_log.txt} S=${ATELIER_STAMP:-/studio/system_logs/lifecycle}
V=${ATELIER_VARIABLES:-/studio/variables} ISOLATED=${ATELIER_ISOLATED:-1}
stamp() { printf '%s %s %s\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$1" "$2" >>"$S"; }
( : >>"$S" ) 2>/dev/null || exit 125
# A container that ended must not run the job again.
[ -s "$S" ] && { stamp refused started-before; exit 125; }
( : >>"$L" ) 2>/dev/null || { stamp refused log-not-writable; exit 125; }
exec >>"$L" 2>&1 </dev/null
[ -r "$V" ] && . "$V"
unset ATELIER_LOG ATELIER_STAMP ATELIER_VARIABLES ATELIER_ISOLATED
others() { for p in /proc/[0-9]*; do p=${p#/proc/}; [ "$p" = 1 ] || [ "$p" = $$ ] || echo "$p"; done; }
sig=; trap 'sig=TERM' TERM; trap 'sig=INT' INT; trap 'sig=HUP' HUP
stamp started $$
if command -v bash >/dev/null 2>&1; then bash -c "$1"; else sh -c "$1"; fi
rc=$?
if [ -n "$sig" ] && [ "$ISOLATED" = 1 ]; then
  for p in $(others); do read -r st 2>/dev/null <"/proc/$p/stat" || continue; st=${st##*) }; set -- $st
    [ "$3" = $$ ] || kill -TERM "$p" 2>/dev/null; done
  while o=$(others); [ -n "$o" ] && for p in $o; do [ -d "/proc/$p" ] && break; done && [ -d "/proc/$p" ]; do sleep 0.05; done
fi
stamp ended "$rc${sig:+ signal=$sig}"; exit "$rc"
