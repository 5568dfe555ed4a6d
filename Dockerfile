# syntax=docker/dockerfile:1
# Compiles with all dependencies and runs with the production ones only. `docker build .` builds the image of the worker,
# `docker build --target demo .` that of the demo.

FROM node:24-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts
COPY tsconfig.json tsconfig.build.json rolldown.config.js rolldown.lines.js ./
COPY src ./src
RUN npm run build

FROM build AS build-demo
COPY tsconfig.dev.json ./
COPY dev ./dev
RUN npm run build:dev

FROM build AS production
RUN npm prune --omit=dev

FROM node:24-slim AS runtime
LABEL org.opencontainers.image.title="invite-rotator" \
      org.opencontainers.image.licenses="MIT"
ENV NODE_ENV=production
WORKDIR /app
COPY --from=production /app/package.json ./
COPY --from=production /app/node_modules ./node_modules
COPY --from=production /app/dist ./dist
# The user `node` by number, so that Kubernetes can verify that it is not root. All files belong to root, so the program
# cannot change itself. It writes nothing but a note for the health check in /tmp, and works without it, so the root
# file system may be read-only.
USER 1000:1000
# The pages, if the file sets `ops: { host: 0.0.0.0 }`.
EXPOSE 9400
# Asks /healthz at the host and port in force. A worker without pages, or without its Redis, is alive too.
HEALTHCHECK --interval=30s --timeout=10s --start-period=30s CMD ["node", "dist/cli.js", "health"]

FROM runtime AS demo
COPY --from=build-demo /app/dist-dev ./dist-dev
ENTRYPOINT ["node", "dist-dev/dev/demo/main.js"]
CMD []
HEALTHCHECK NONE

FROM runtime AS worker
# The program runs as process 1. It handles SIGTERM and SIGINT, and starts no child processes when REDIS_URL is set.
ENTRYPOINT ["node", "dist/cli.js"]
CMD ["start"]
