# syntax=docker/dockerfile:1
# docker buildx build --platform linux/amd64,linux/arm64 -t registry.example.com/drover:0.1.0 .

# The bundle is plain JavaScript: it is built once, on the builder's own platform, for all of them.
FROM --platform=$BUILDPLATFORM node:26-trixie-slim AS build
WORKDIR /drover
COPY package.json package-lock.json .npmrc LICENSE ./
RUN npm ci --no-audit --no-fund
COPY tools tools
COPY crds crds
COPY src src
RUN npm run build

# Newest LTS of Node without a shell or a package manager.
FROM gcr.io/distroless/nodejs26-debian13:nonroot
LABEL org.opencontainers.image.title="drover" \
      org.opencontainers.image.description="A declarative upgrade controller for RKE2 and K3s clusters" \
      org.opencontainers.image.licenses="Apache-2.0"
COPY --from=build /drover/package.json /drover/LICENSE /drover/
COPY --from=build /drover/dist /drover/dist
# One heap for malloc, and a young generation that stays small: Node trades memory for speed that a controller does not need.
ENV NODE_ENV=production MALLOC_ARENA_MAX=1
USER 65534:65534
EXPOSE 8080
# Without arguments this is the controller.
ENTRYPOINT ["/nodejs/bin/node", "--max-semi-space-size=2", "--max-old-space-size=256", "/drover/dist/main.js"]
