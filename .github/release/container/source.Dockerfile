# Builds the image from source, for the architecture it is built on. From the root of the repository:
#     docker build -t sigv4-proxy -f .github/release/container/source.Dockerfile .
FROM rust:1.89-alpine AS build
RUN apk add --no-cache build-base
WORKDIR /build
COPY Cargo.toml Cargo.lock ./
COPY .github/release/commit.rs .github/release/commit.rs
COPY src src
COPY tests tests
COPY docs/library.md docs/library.md
RUN cargo build --locked --release --bin sigv4-proxy

FROM scratch
COPY --from=build /build/target/release/sigv4-proxy /
COPY LICENSE /
COPY .github/release/third-party.txt /THIRD-PARTY.txt
ENV HOME=/home/app
USER 1000:1000
ENTRYPOINT ["/sigv4-proxy"]
