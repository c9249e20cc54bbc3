# An Elixir service that answers a Node service's questions, through queues in a folder that both open: no socket, no port
# number, no HTTP. client.mts is the other half.
#
#   ERL_LIBS=../../erlang/_build/default/lib elixir prices.exs /tmp/prices &
#   node client.mts /tmp/prices shop apple 3
#
# A request is {:price, client, number, item, quantity}; the answer goes to a queue of the client. The queue of requests sends
# its messages to the server one at a time, as an active socket does. If the server crashes, the request that it has is lost:
# the client gets no answer, and asks again. The other requests stay in the queue. The example job-queue loses none.

defmodule Prices do
  use GenServer

  @prices %{"apple" => 25, "pear" => 40}

  def start_link(folder), do: GenServer.start_link(__MODULE__, folder)

  @impl true
  def init(folder) do
    Process.flag(:trap_exit, true)
    {:ok, requests} = :emmap_queue.open(Path.join(folder, "requests.q"), 65_536, [])
    :ok = :emmap_queue.set_active(requests, :once)
    {:ok, %{folder: folder, requests: requests, answers: %{}}}
  end

  @impl true
  def handle_info({:emmap_queue, requests, request}, state) do
    state = answer(request, state)
    :ok = :emmap_queue.set_active(requests, :once)
    {:noreply, state}
  end

  def handle_info({:emmap_queue_error, _requests, reason}, state), do: {:stop, reason, state}

  @impl true
  def terminate(_reason, state) do
    :ok = :emmap_queue.set_active(state.requests, false)

    # One more request may have been sent already.
    state =
      receive do
        {:emmap_queue, _requests, request} -> answer(request, state)
      after
        0 -> state
      end

    for queue <- [state.requests | Map.values(state.answers)], do: :emmap_queue.close(queue)
  end

  defp answer({:price, client, number, item, quantity}, state)
       when is_binary(client) and is_binary(item) and is_integer(quantity) do
    state = open_answers(client, state)

    result =
      case @prices do
        %{^item => price} -> {:ok, %{item: item, quantity: quantity, total: quantity * price}}
        %{} -> {:error, "there are no #{item}s"}
      end

    :ok = :emmap_queue.push(state.answers[client], {number, result})
    state
  end

  defp answer(other, state) do
    IO.puts(:stderr, "dropped #{inspect(other)}")
    state
  end

  defp open_answers(client, state) when is_map_key(state.answers, client), do: state

  defp open_answers(client, state) do
    # Only the last part of the name, so that it leads to no other folder.
    path = Path.join(state.folder, "answers-#{Path.basename(client)}.q")
    {:ok, queue} = :emmap_queue.open(path, 65_536, [])
    put_in(state.answers[client], queue)
  end
end

[folder] = System.argv()
File.mkdir_p!(folder)
{:ok, prices} = Prices.start_link(folder)
IO.puts("ready")

# On SIGTERM the server stops, and terminate/2 closes the queues.
me = self()
{:ok, _} = System.trap_signal(:sigterm, fn -> send(me, :stop) && :ok end)

receive do
  :stop -> GenServer.stop(prices)
end
