# A Node service with emmap in it. The base image can be any Debian with Node.js 20 or later and npm.
ARG NODE_IMAGE=node:24-slim

FROM ${NODE_IMAGE} AS build
# For `docker image prune --filter label=emmap.stage=build`.
LABEL emmap.stage=build
RUN apt-get update && apt-get install -y --no-install-recommends gcc g++ make python3
WORKDIR /emmap
COPY package.json package-lock.json ./
RUN npm ci
COPY tsconfig.json tsconfig.build.json tsconfig.types.json tsconfig.esm.json ./
COPY scripts/build-addon.mjs scripts/build-cli.mjs scripts/mark-modules.mjs scripts/
COPY native/include native/include
COPY native/core native/core
COPY native/addon native/addon
COPY src src
RUN npm run build:addon && npm run build
# The package as a user gets it, but with the addon for this image alone. --ignore-scripts skips the check for all platforms.
RUN npm pack --ignore-scripts && mkdir /service && npm install --prefix /service --no-save ./emmap-*.tgz

FROM ${NODE_IMAGE}
# One group owns the shared files, and each service has a user of its own. docs/compose.md says why.
RUN groupadd --gid 10000 emmap && useradd --uid 10002 --gid emmap --no-create-home emmap-node \
    && install -d -o root -g emmap -m 2770 /shared /data
COPY --from=build /service/node_modules /service/node_modules
COPY docker/services/*.mjs docker/services/healthy /service/
WORKDIR /service
USER emmap-node
ENV NODE_ENV=production
CMD ["node", "worker.mjs"]
