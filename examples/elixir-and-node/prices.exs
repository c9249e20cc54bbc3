# An Elixir service that answers a Node service's questions, through queues in a folder that both open: no socket, no port
# number, no HTTP. client.mts is the other half.
#
#   ERL_LIBS=../../erlang/_build/default/lib elixir prices.exs /tmp/prices &
#   node client.mts /tmp/prices shop apple 3
#
# A request is {:price, client, number, item, quantity}; the answer goes to a queue of the client. A consumer works on eight
# requests at a time, each in a process of its own, as Task.Supervisor would. If the service is killed, its requests are
# answered when it is back, or by another one that runs. A request that can't be answered goes to dead.q after five attempts.

defmodule Prices do
  @behaviour :emmap_consumer

  @prices %{"apple" => 25, "pear" => 40}

  @impl true
  def init(folder), do: {:ok, folder}

  @impl true
  def handle_message({:price, client, number, item, quantity}, folder) when is_integer(quantity) do
    result =
      case @prices do
        %{^item => price} -> {:ok, %{item: item, quantity: quantity, total: quantity * price}}
        %{} -> {:error, "there are no #{item}s"}
      end

    # Only the last part of the name, so that it leads to no other folder.
    path = Path.join(folder, "answers-#{Path.basename(client)}.q")
    {:ok, answers} = :emmap_queue.open(path, 65_536, [])
    :ok = :emmap_queue.push(answers, {number, result})
    :ok = :emmap_queue.close(answers)
  end
end

[folder] = System.argv()
File.mkdir_p!(folder)

prices =
  {:emmap_consumer,
   queue: Path.join(folder, "requests.q"),
   module: Prices,
   args: folder,
   concurrency: 8,
   dead_letters: Path.join(folder, "dead.q")}

{:ok, supervisor} = Supervisor.start_link([prices], strategy: :one_for_one)
IO.puts("ready")

# On SIGTERM the service finishes its requests.
me = self()
{:ok, _} = System.trap_signal(:sigterm, fn -> send(me, :stop) && :ok end)

receive do
  :stop -> Supervisor.stop(supervisor)
end
