# A BEAM service with emmap in it. The base image can be any Debian with Erlang/OTP 25 or later.
ARG ERLANG_IMAGE=erlang:27-slim

FROM ${ERLANG_IMAGE} AS build
# For `docker image prune --filter label=emmap.stage=build`.
LABEL emmap.stage=build
# The official images have rebar3 and all of OTP. If Erlang comes from Debian, so do these.
RUN apt-get update && apt-get install -y --no-install-recommends gcc libc6-dev make \
    $(command -v rebar3 >/dev/null || echo rebar3 erlang-dev)
WORKDIR /emmap
COPY native/include native/include
COPY native/core native/core
COPY port port
COPY erlang erlang
# Copies what a release contains, and follows the links in _build.
RUN cd erlang && rebar3 compile && mkdir -p /service/lib/emmap \
    && cp -rL _build/default/lib/emmap/ebin _build/default/lib/emmap/priv bin /service/lib/emmap/

FROM ${ERLANG_IMAGE}
# One group owns the shared files, and each service has a user of its own. docs/compose.md says why.
RUN groupadd --gid 10000 emmap && useradd --uid 10001 --gid emmap --no-create-home emmap-beam \
    && install -d -o root -g emmap -m 2770 /shared /data
COPY --from=build /service/lib /service/lib
COPY docker/services/gateway.escript docker/services/healthy docker/services/*.config /service/
WORKDIR /service
USER emmap-beam
ENV ERL_LIBS=/service/lib
CMD ["escript", "gateway.escript"]
