#!/bin/sh
# Put the jars of pom.xml into libs/ beside it, unless they are there. Needs maven and Java >= 17.
set -eu
cd "$(dirname "$0")"
[ -f libs/.complete ] && [ libs/.complete -nt pom.xml ] && exit 0
rm -rf libs
mvn -q -B dependency:copy-dependencies -DincludeScope=runtime -DoutputDirectory=libs
touch libs/.complete
