# A service in C on another libc. Its image has nothing else. The base image is for the build alone, and can be any Debian.
ARG DEBIAN_IMAGE=debian:bookworm-slim

FROM ${DEBIAN_IMAGE} AS build
# For `docker image prune --filter label=emmap.stage=build`.
LABEL emmap.stage=build
RUN apt-get update && apt-get install -y --no-install-recommends make musl-tools linux-libc-dev
WORKDIR /emmap
COPY native/include native/include
COPY native/core native/core
COPY docker/services/gateway.c ./
# musl-gcc leaves out the kernel's headers along with glibc's.
RUN mkdir kernel && ln -s /usr/include/linux /usr/include/asm-generic /usr/include/*-linux-gnu/asm kernel/
RUN mkdir -p root/service && install -d -g 10000 -m 2770 root/shared \
    && make -f native/core/core.mk BUILD=build CC=musl-gcc CFLAGS="-Werror -idirafter kernel" \
    && musl-gcc -static -std=c11 -D_POSIX_C_SOURCE=200809L -O2 -Wall -Wextra -Wpedantic -Werror -pthread \
        -Inative/include -o root/service/gateway gateway.c build/libemmap_core.a

FROM scratch
COPY --from=build /emmap/root /
USER 10003:10000
CMD ["/service/gateway"]
