// The services of docker-compose.yml, as a project with a random name, so that it does not meet another one.
import { randomBytes } from "node:crypto";
import { fileURLToPath } from "node:url";
import { follow, run, works } from "./run.mjs";

const root = fileURLToPath(new URL("../..", import.meta.url));

export class Composition {
  #compose;
  #env;
  #containers = new Map();
  #project = `emmap-test-${randomBytes(4).toString("hex")}`;
  #onLine;

  /** `onLine` gets the service and each line that it prints. */
  static async create(engine, variables, onLine) {
    const plugin = await works("docker", ["compose", "version"], { env: engine.env });
    const composition = new Composition();
    composition.#compose = plugin ? ["docker", "compose"] : ["docker-compose"];
    composition.#onLine = onLine;
    composition.#env = { ...engine.env, ...variables };
    if (!(await works("docker", ["buildx", "version"], { env: engine.env })))
      Object.assign(composition.#env, { DOCKER_BUILDKIT: "0", COMPOSE_DOCKER_CLI_BUILD: "0" });
    return composition;
  }

  #command(args, options) {
    const [program, ...first] = this.#compose;
    const all = [...first, "--project-name", this.#project, "--project-directory", root, ...args];
    return run(program, all, { env: this.#env, cwd: root, ...options });
  }

  docker(args) {
    return run("docker", args, { env: this.#env });
  }

  build() {
    return this.#command(["build"], { show: true });
  }

  /** Creates and starts all services, and follows their output. */
  async up(services) {
    await this.#command(["up", "--detach", "--no-build"]);
    for (const service of services) {
      this.#containers.set(service, await this.#command(["ps", "--quiet", service]));
      this.#listen(service);
    }
  }

  #listen(service, since = "0") {
    const onLine = (line) => this.#onLine(service, line);
    follow("docker", ["logs", "--follow", "--since", since, this.#containers.get(service)], onLine, {
      env: this.#env,
    });
  }

  #state(service, format) {
    return this.docker(["inspect", "--format", format, this.#containers.get(service)]);
  }

  /** Returns when the container is dead. */
  async kill(service) {
    const container = this.#containers.get(service);
    await this.docker(["kill", "--signal", "KILL", container]);
    const status = await this.docker(["wait", container]);
    if (status !== "137") throw new Error(`${service} ended with status ${status}, and not by the kill`);
  }

  async start(service) {
    await this.docker(["start", this.#containers.get(service)]);
    this.#listen(service, await this.#state(service, "{{.State.StartedAt}}"));
  }

  async pause(service) {
    await this.docker(["pause", this.#containers.get(service)]);
    const status = await this.#state(service, "{{.State.Status}}");
    if (status !== "paused") throw new Error(`${service} is ${status}, and not paused`);
  }

  async resume(service) {
    await this.docker(["unpause", this.#containers.get(service)]);
  }

  /** Takes a service off the network of the hosts. */
  async disconnect(service) {
    await this.docker(["network", "disconnect", `${this.#project}_hosts`, this.#containers.get(service)]);
  }

  /** Connects it again, under the name that the others know. */
  async connect(service, alias) {
    const container = this.#containers.get(service);
    await this.docker(["network", "connect", "--alias", alias, `${this.#project}_hosts`, container]);
  }

  signal(service, signal) {
    return this.docker(["kill", "--signal", signal, this.#containers.get(service)]);
  }

  /** The user and group that a service's program runs as. */
  user(service) {
    return this.#state(service, "{{.Config.User}}");
  }

  /** Runs a command in a service's container. */
  exec(service, ...command) {
    return this.docker(["exec", this.#containers.get(service), ...command]);
  }

  /** Resolves to the status with which a container ends. */
  async wait(service) {
    return Number(await this.docker(["wait", this.#containers.get(service)]));
  }

  /** The number of times that the engine restarted a container because its program had failed. */
  async restarts(service) {
    return Number(await this.#state(service, "{{.RestartCount}}"));
  }

  /** Removes the containers, the volumes and the images. */
  async remove() {
    await this.#command(["down", "--volumes", "--remove-orphans", "--rmi", "local", "--timeout", "2"]);
    await this.docker(["image", "prune", "--force", "--filter", "label=emmap.stage=build"]);
  }
}
