# syntax=docker/dockerfile:1

# Compiles. Its packages, development ones included, stay behind in this stage.
FROM node:20-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci
COPY tsconfig.json ./
COPY src ./src
RUN node_modules/.bin/tsc -p tsconfig.json
RUN mkdir state

# Only what runs, exactly as locked; koffi is optional and comes along: with it the kernel driver runs.
FROM node:20-bookworm-slim AS packages
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --omit=dev

FROM node:20-bookworm-slim
WORKDIR /app
ENV NODE_ENV=production
COPY package.json LICENSE ./
COPY --from=packages /app/node_modules ./node_modules
COPY --from=build /app/dist/src ./dist/src

# For `state_file: /var/lib/pointsman/state.json`: mount a volume there. A new one takes over whose this directory is.
COPY --from=build --chown=node:node /app/state /var/lib/pointsman

# The image's own unprivileged user. Ports below 1024 work too: Docker lets containers bind them.
USER node

# PostgreSQL read-write, PostgreSQL read-only, admin (metrics, health, console). They follow the config, not this list.
EXPOSE 5432 5433 9101

# Alive, not ready: a proxy that waits for a primary must not be restarted, it holds the clients.
# Asks the default admin address; override with --health-cmd where admin.bind is another port. No curl in a slim image.
HEALTHCHECK --interval=5s --timeout=3s --start-period=5s --retries=3 \
  CMD ["node", "-e", "fetch('http://127.0.0.1:9101/livez', { signal: AbortSignal.timeout(2000) }).then(r => process.exit(r.ok ? 0 : 1), () => process.exit(1))"]

# No tini: the process handles SIGTERM and SIGHUP itself, which PID 1 must, and starts no children that it would have to reap.
STOPSIGNAL SIGTERM
ENTRYPOINT ["node", "dist/src/main.js"]
CMD ["run", "-c", "/etc/pointsman/pointsman.yaml"]
