# kubectl-ha. `make help` lists what there is to make.

SHELL       := /bin/bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

# The version stamped into the program: the tag, or what git makes of it.
VERSION     ?= $(shell git describe --tags --always --dirty --match 'v*' 2>/dev/null | sed '/^v/!s/^/v0.0.0-g/')
COMMIT      ?= $(shell git rev-parse HEAD 2>/dev/null)
# Without these containers/image wants C libraries.
TAGS        := containers_image_openpgp,containers_image_docker_daemon_stub,containers_image_storage_stub,exclude_graphdriver_btrfs
PKG         := github.com/kubectl-ha/kubectl-ha/pkg/program
LDFLAGS     := -s -w -X $(PKG).version=$(VERSION) -X $(PKG).commit=$(COMMIT)
GOBUILD     := CGO_ENABLED=0 go build -trimpath -buildvcs=false -tags=$(TAGS)
GOTEST      := CGO_ENABLED=0 go test -trimpath -tags=$(TAGS)
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

KUBERNETES  ?= v1.36.3
# A second one, that some of the end-to-end tests make clusters of.
OTHER_KUBERNETES ?= v1.35.4
NAME        ?= demo
# Where everything that is built for the lab is kept, outside of this tree.
LAB_CACHE   ?= $(HOME)/.cache/kubectl-ha-lab
export LAB_CACHE
# The hosts' operating system in the end-to-end tests: debian-11, debian-12 or debian-13.
E2E_OS      ?= debian-12
export E2E_OS
# Where hack/setup.sh keeps the Go that it has fetched, on a machine whose own is too old.
GO_CACHE    ?= $(HOME)/.cache/kubectl-ha-go
export GO_CACHE
export PATH := $(GO_CACHE)/current/bin:$(PATH)

.PHONY: help
help: ## List what there is to make
	@awk -F ':.*## ' '/^[a-z0-9-]+:.*## /{printf "  make %-10s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

.PHONY: setup
setup: ## Check for Go and install what is missing (Debian, Ubuntu)
	@hack/setup.sh

.PHONY: build
build: setup ## Build bin/kubectl-ha and bin/lab, static
	@$(GOBUILD) -ldflags '$(LDFLAGS)' -o bin/kubectl-ha ./cmd/kubectl-ha
	@$(GOBUILD) -ldflags '-s -w' -o bin/lab ./test/lab

.PHONY: unit
unit: setup ## Run the unit tests, and those against real programs where the lab has built them
	@CGO_ENABLED=0 go build -o bin/testsum ./hack/testsum
	@env $$(hack/binaries.sh $(KUBERNETES)) $(GOTEST) -json ./cmd/... ./pkg/... ./manifests/... ./hack/... ./test/... | bin/testsum
	@$(MAKE) --no-print-directory balancer BALANCER_RUN='TestFollows|TestHandOver|TestStrangers'

# Which of the load balancer's tests run.
BALANCER_RUN ?= .

# They are about what happens within seconds: nothing else runs beside them.
.PHONY: balancer
balancer: setup ## Run the load balancer's tests with the lab's haproxy and nginx; `make unit` runs a few of them
	@CGO_ENABLED=0 go build -o bin/testsum ./hack/testsum
	@programs=$$(hack/binaries.sh proxies); if [ -n "$$programs" ]; then \
		env $$programs $(GOTEST) -count=1 -json -run '$(BALANCER_RUN)' ./pkg/node/balancer | bin/testsum; \
	else echo "the load balancer's tests need the lab's haproxy and nginx: bin/lab build"; fi

# What has goroutines of its own, or locks since it is called from several.
RACE := $(addprefix ./pkg/,action bootstrap/... bundle/... doctor incluster/engine incluster/images \
	incluster/loadbalancer incluster/operations incluster/upgrade kubeconfig node node/balancer node/host \
	node/tasks/backup node/tasks/controlplane node/tasks/images node/tasks/loadbalancer node/tasks/observe \
	node/tasks/prepare node/tasks/reach node/tasks/vip pki plan report status transport/...)
# These start real servers by the dozen, which takes ten minutes: in `make e2e-full`.
RACE_LONG := $(addprefix ./pkg/,action/... backup/... cmd etcd incluster incluster/certs/... node/tasks/certs node/tasks/restore)

.PHONY: race
race: ## Run the unit tests with the race detector, which wants a C compiler
	@$(MAKE) --no-print-directory race-of PACKAGES='$(RACE)'

.PHONY: race-long
race-long: ## The same for packages that take long
	@$(MAKE) --no-print-directory race-of PACKAGES='$(RACE_LONG)'

.PHONY: race-of
race-of: setup
	@hack/setup.sh cgo
	@CGO_ENABLED=0 go build -o bin/testsum ./hack/testsum
	@env $$(hack/binaries.sh $(KUBERNETES)) CGO_ENABLED=1 go test -race -p 2 -tags=$(TAGS) -json $(PACKAGES) | bin/testsum

# How long each fuzzer runs.
FUZZTIME ?= 20s

.PHONY: fuzz
fuzz: setup ## Run each fuzzer for FUZZTIME (20s); what one finds stays under its package's testdata/fuzz
	@CGO_ENABLED=0 go build -o bin/testsum ./hack/testsum
	@hack/fuzz.sh $(TAGS) $(FUZZTIME) | bin/testsum -each

.PHONY: lint
lint: setup ## gofmt, go vet, staticcheck, the direction of imports
	@out=$$(gofmt -l cmd pkg manifests hack test); if [ -n "$$out" ]; then echo "gofmt -w these:"; echo "$$out"; exit 1; fi
	CGO_ENABLED=0 go vet -tags=$(TAGS) ./...
	CGO_ENABLED=0 go vet -tags=$(TAGS),e2e ./test/e2e/...
	CGO_ENABLED=0 go run ./hack/importcheck -tags=$(TAGS)
	CGO_ENABLED=0 go run $(STATICCHECK) -tags=$(TAGS),e2e ./...

.PHONY: test
test: build ## Everything: unit tests, then the end-to-end tests in the lab
	@bin/lab build --kubernetes $(KUBERNETES),$(OTHER_KUBERNETES)
	@$(MAKE) --no-print-directory unit
	@$(MAKE) --no-print-directory e2e

# What a run of the end-to-end tests leaves, for `make tested`.
RUN         ?= $(LAB_CACHE)/runs/last.json
RECORD      = -record $(RUN) -commit '$(VERSION)' -kubernetes $(or $(E2E_KUBERNETES_VERSION),$(KUBERNETES)) -os $(E2E_OS)

.PHONY: e2e
e2e: build ## The end-to-end tests of `make test` alone; E2E_RUN names some
	@CGO_ENABLED=0 go build -o bin/testsum ./hack/testsum
	@$(GOTEST),e2e -json -count=1 -timeout 100m $(if $(E2E_RUN),-run '$(E2E_RUN)') ./test/e2e | bin/testsum -each $(RECORD)

.PHONY: e2e-full
e2e-full: build ## All end-to-end tests, the long and destructive ones too, and the fuzzers: hours
	@CGO_ENABLED=0 go build -o bin/testsum ./hack/testsum
	@E2E_TIER=full $(GOTEST),e2e -json -count=1 -timeout 12h ./test/e2e | bin/testsum -each $(RECORD)
	@for os in debian-11 debian-13; do $(MAKE) --no-print-directory e2e E2E_OS=$$os E2E_RUN=TestSeparateEtcdHosts RUN=$(LAB_CACHE)/runs/$$os.json; done
	@$(MAKE) --no-print-directory race-long
	@$(MAKE) --no-print-directory fuzz

.PHONY: tested
tested: setup ## Add the last run of the end-to-end tests to docs/TESTED.md
	CGO_ENABLED=0 go run ./hack/tested $(wildcard $(RUN))

.PHONY: lab
lab: build ## Build the lab's parts and start bare hosts: three control planes, one worker
	bin/lab build --kubernetes $(KUBERNETES)
	bin/lab up --name $(NAME) --control-planes 3 --workers 1

.PHONY: demo
demo: build ## A lab, and a highly available cluster made on it by the product
	@hack/demo.sh $(NAME) $(KUBERNETES)

.PHONY: bench
bench: build ## The product against the best shell script for the same hosts, in turns
	@CGO_ENABLED=0 go build -tags=$(TAGS) -o bin/bench ./test/bench
	bin/bench --kubernetes-version $(KUBERNETES)

.PHONY: bench-images
bench-images: build ## Bytes, time and memory of `images push` to 1, 4 and 8 nodes, against copies by scp
	@CGO_ENABLED=0 go build -tags=$(TAGS) -o bin/bench-images ./test/bench/images
	bin/bench-images --kubernetes-version $(KUBERNETES)

.PHONY: bench-scale
bench-scale: setup ## The coordinator's own part of an operation on 50, 500 and 5,000 nodes, with a real API server
	@env $$(hack/binaries.sh $(KUBERNETES)) $(GOTEST) -run '^none' -bench Coordinate -benchtime 1x -timeout 2h ./pkg/incluster/engine

.PHONY: bench-upgrade
bench-upgrade: build ## The product's upgrade against a script of the same kubeadm commands and drains, in turns
	@CGO_ENABLED=0 go build -tags=$(TAGS) -o bin/bench-upgrade ./test/bench/upgrade
	bin/bench-upgrade --from $(OTHER_KUBERNETES) --to $(KUBERNETES)

.PHONY: dist
dist: setup ## The plugin's archives, bills of materials, checksums and krew manifest, in dist/
	CGO_ENABLED=0 go run ./hack/dist -version '$(VERSION)' -commit '$(COMMIT)' -tags '$(TAGS)' -out dist

# The custom resource's definition and its types' copies. The version of controller-gen is in go.mod.
CRD         := manifests/operation-crd.yaml
.PHONY: generate
generate: setup ## Write what is made from the API's types: their copies and the custom resource's definition
	CGO_ENABLED=0 go tool controller-gen object paths=./pkg/api/v1alpha1
	CGO_ENABLED=0 go tool controller-gen crd paths=./pkg/api/v1alpha1 output:crd:stdout > $(CRD).new
	@mv $(CRD).new $(CRD)

.PHONY: docs
docs: setup ## Write the generated pages anew: commands, Cluster file, doctor's checks
	CGO_ENABLED=0 go run ./hack/fieldref
	@$(GOTEST) -count=1 -run 'TestCommandReference$$' ./pkg/cmd -update
	@$(GOTEST) -count=1 -run 'TestChecksReference$$' ./pkg/doctor -update

.PHONY: digests
digests: setup ## Look up what the fixed versions must be, at upstream, for pkg/bundle/digests.txt
	CGO_ENABLED=0 go run -tags=$(TAGS) ./hack/digests

.PHONY: clean
clean: ## Remove bin/ and dist/; the lab's cache stays
	rm -rf bin dist
