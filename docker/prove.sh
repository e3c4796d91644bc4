#!/bin/bash
# Build every image with its engine and run the demo in it: Debian, as root.
#
#     sudo docker/prove.sh [PATH ...]
#
# podman builds both Dockerfiles and runs the services of compose.yaml, with few subjects and few
# steps; Apptainer, out of a fresh Debian unstable, builds mol.def and prepares the demo. PATH is a
# file or folder of this machine that pip needs while it installs: its settings, a folder of wheels.
# Where no registry answers, a fresh Debian with Python 3.11 stands for the base image.
# Variables: WORK, a folder for everything (2 to 8 GB); MIRROR, of Debian's packages.
set -euo pipefail
cd "$(dirname "$0")/.."

WORK=${WORK:-/var/tmp/mol-images}
MIRROR=${MIRROR:-http://deb.debian.org/debian}
NEEDED=("$@")
BASE=$(sed -n 's/^FROM \([^ ]*\).*/\1/p' docker/prep.Dockerfile | head -1)
PLACES=(/etc/ssl/certs "${NEEDED[@]}")

[ "$(id -u)" = 0 ] || { echo "prove.sh: must be root (it mounts and unpacks file systems)" >&2; exit 3; }
if ! type podman runc debootstrap newuidmap &>/dev/null; then
    export DEBIAN_FRONTEND=noninteractive
    apt-get update -q
    apt-get install -y -q --no-install-recommends podman runc debootstrap uidmap netavark
fi
mkdir -p "$WORK"
# No systemd and no right to raise limits, as inside a container; harmless elsewhere.
cat > "$WORK/containers.conf" <<END
[containers]
default_ulimits = ["nofile=$(ulimit -n):$(ulimit -n)", "nproc=1024:1024"]
[engine]
runtime = "runc"
cgroup_manager = "cgroupfs"
healthcheck_events = false
END
export CONTAINERS_CONF="$WORK/containers.conf"

said() { echo "== $(date +%T) $*"; }

mounted() { for path in "${PLACES[@]}"; do printf -- ' -v %s:%s:ro' "$path" "$path"; done; }

# A fresh Debian: suite, folder, packages. The folders that will be mounted are there.
fresh() {
    [ -e "$2/etc/debian_version" ] && return
    said "debootstrap $1"
    rm -rf "$2"
    debootstrap --variant=minbase --include="$3" "$1" "$2" "$MIRROR" > "$WORK/debootstrap.log"
    rm -f "$2"/var/cache/apt/archives/*.deb
    for path in "${NEEDED[@]}"; do
        if [ -d "$path" ]; then mkdir -p "$2$path"; else mkdir -p "$(dirname "$2$path")"; touch "$2$path"; fi
    done
}

if ! podman image exists "$BASE" && ! timeout 600 podman pull -q "docker.io/library/$BASE" 2>/dev/null; then
    fresh bookworm "$WORK/base" python3,python3-venv,python-is-python3,ca-certificates
    tar -C "$WORK/base" -c . | podman import -q - "docker.io/library/$BASE"
fi

for name in prep train; do
    said "docker/$name.Dockerfile"
    # shellcheck disable=SC2046  # words of their own
    podman build -q --format docker --pull=never --network host $(mounted) \
        -f "docker/$name.Dockerfile" -t "mol-$name" .
    podman run --rm --entrypoint id "mol-$name"
    podman run -d --rm --name mol-health --entrypoint sleep "mol-$name" 100 >/dev/null 2>&1
    podman healthcheck run mol-health
    podman rm -f -t 0 mol-health >/dev/null
    podman history --format '{{.Size}} {{.CreatedBy}}' "mol-$name" | grep COPY | head -1
done

said "docker/compose.yaml"
[ -x "$WORK/venv/bin/podman-compose" ] || {
    python3 -m venv "$WORK/venv"
    "$WORK/venv/bin/pip" install -q podman-compose==1.6.0
}
export SUBJECTS=2 STEPS=2
compose() { "$WORK/venv/bin/podman-compose" --in-pod false -f docker/compose.yaml "$@"; }
compose down -v >/dev/null 2>&1 || true
# One after the other: podman-compose 1.6 does not wait for a service to complete.
for service in database prepare train; do compose run --rm --no-deps "$service"; done
podman run --rm -v mol-demo_mol:/mol --entrypoint ls mol-train -l /mol/run/report.html
compose down -v >/dev/null 2>&1

said "docker/mol.def"
fresh sid "$WORK/sid" apptainer,ca-certificates
mkdir -p "$WORK/sid/work"
rm -rf "$WORK/sid/work/"*
podman save -q --format docker-archive -o "$WORK/sid/work/base.tar" "$BASE"
sed 's|^Bootstrap: .*|Bootstrap: docker-archive|; s|^From: .*|From: /work/base.tar|' docker/mol.def \
    > "$WORK/sid/work/mol.def"
# What an engine gets to see.
sed -n 's/^!//p' .dockerignore | xargs cp -r -t "$WORK/sid/work"
binds=$(for path in /etc/ssl/certs/ca-certificates.crt "${NEEDED[@]}"; do printf -- ' -B %s' "$path"; done)
cat > "$WORK/sid/work/steps.sh" <<END
set -e
cd /work
apptainer -q build $binds molprep.sif mol.def
apptainer -q build $binds --build-arg EXTRA=train --build-arg COMMAND=moltrain moltrain.sif mol.def
ls -l ./*.sif
prep() { apptainer -q run --bind /work --pwd /work molprep.sif "\$@"; }
prep demo database --layout samm --subjects 2 --seed 0
prep build --dataset samm --root database --out shards --workers 2
prep verify shards
apptainer -q run --bind /work --pwd /work moltrain.sif fit --shards shards --out run --preset tiny --steps 2
ls -l run/report.html
END
# In a user namespace where root may do everything, which Apptainer asks for.
cat > "$WORK/sid/work/as-root.sh" <<'END'
mkfifo /tmp/mapped
unshare --user --mount sh -c 'read -r _ < /tmp/mapped; exec sh /work/steps.sh' &
sleep 1
for kind in uid gid; do echo "0 0 65536" > "/proc/$!/${kind}_map"; done
echo go > /tmp/mapped
wait $!
END
# shellcheck disable=SC2046
podman run --rm --privileged --network host $(mounted) --rootfs "$WORK/sid" \
    sh -c 'rm -f /tmp/mapped; exec sh /work/as-root.sh'
said "all images were built, and the demo ran in each"
