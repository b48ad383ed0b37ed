# shellcheck shell=bash
# Installs Apptainer for the machines' users below $STATE, which every machine sees.
#
# Debian has it in unstable only, built for a newer libc than a stable release has.  So both come
# from there into a folder of their own; the machine's package sources and libc stay as they are.

APPTAINER=$STATE/apptainer
# What it needs and starts, what gives it its libc, and the one program of a small image.
APPTAINER_PACKAGES=(libseccomp2 squashfs-tools squashfuse uidmap patchelf busybox-static)

install_apptainer() {
  local sum
  install_packages "${APPTAINER_PACKAGES[@]}"
  sum=$(sha256sum <"${BASH_SOURCE[0]}")
  [[ $(cat "$APPTAINER/finished" 2>/dev/null) != "$sum" ]] || return 0
  echo "testcluster: installing Apptainer (log: $STATE/apptainer.log)" >&2
  rm -rf "$APPTAINER" "$APPTAINER.apt"
  mkdir -p "$APPTAINER" "$APPTAINER.apt"
  (
    # 9 is the lock: what apt starts must not hold it.
    exec 9>&-
    cd "$APPTAINER.apt" && try_again fetch_packages apptainer libc6 \
      && dpkg-deb -x apptainer_*.deb "$APPTAINER" && dpkg-deb -x libc6_*.deb libc6 \
      && bind_to_libc libc6 && make_it_find_its_files
  ) >"$STATE/apptainer.log" 2>&1 </dev/null \
    || die "Apptainer could not be installed; read $STATE/apptainer.log"
  rm -rf "$APPTAINER.apt"
  echo "$sum" >"$APPTAINER/finished"
}

# fetch_packages NAME...: from Debian unstable into the current folder, with an apt of its own.
fetch_packages() {
  local mirror
  # shellcheck disable=SC2016
  mirror=$(apt-get indextargets --format '$(ORIGIN) $(REPO_URI)' 'Created-By: Packages' \
    | awk '$1 == "Debian" && !found { print $2; found = 1 }')
  rm -f ./*.deb
  mkdir -p lists/partial archives/partial
  echo "deb [signed-by=/usr/share/keyrings/debian-archive-keyring.gpg]" \
    "${mirror:-http://deb.debian.org/debian} sid main" >sources
  cat >apt.conf <<END
Dir::Etc::sourcelist "$PWD/sources";
Dir::Etc::sourceparts "/dev/null";
Dir::State::lists "$PWD/lists";
Dir::Cache "$PWD";
APT::Sandbox::User "root";
END
  APT_CONFIG=$PWD/apt.conf apt-get update -q -o Acquire::Retries=5 \
    && APT_CONFIG=$PWD/apt.conf apt-get download -q -o Acquire::Retries=5 "$@"
}

# bind_to_libc FOLDER: the programs load the libc that lies there, copied beside them.
bind_to_libc() {
  local libc=$APPTAINER/libc
  mkdir "$libc" && cp -P "$1"/usr/lib/*-linux-*/*.so.* "$libc/" \
    && patchelf --set-interpreter "$(echo "$libc"/ld-linux*.so.*)" --force-rpath --set-rpath "$libc" \
      "$APPTAINER"/usr/bin/apptainer "$APPTAINER"/usr/lib/*/apptainer/bin/starter
}

# Its files are found from where it lies, but one level too high: Debian's usr/lib/ARCHITECTURE.
make_it_find_its_files() {
  local name
  for name in etc var; do
    ln -s "../$name" "$APPTAINER/usr/$name"
    ln -s "../../$name" "$APPTAINER/usr/lib/$name"
  done
  mkdir -p "$APPTAINER/var/lib/apptainer/mnt/session" "$APPTAINER/bin"
  for name in apptainer singularity; do ln -s ../usr/bin/apptainer "$APPTAINER/bin/$name"; done
  "$APPTAINER/bin/apptainer" --version
}
