# An Elixir service that answers a Node service's questions, through queues in a folder that both open: no socket, no port
# number, no HTTP. client.mjs is the other half.
#
#   ERL_LIBS=../../erlang/_build/default/lib elixir prices.exs /tmp/prices &
#   node client.mjs /tmp/prices shop apple 3
#
# A request is {:price, client, number, item, quantity}; the answer goes to the client's own queue. A request leaves the
# queue when it was answered: whoever starts this again after a crash finds it there.

defmodule Prices do
  use GenServer

  @prices %{"apple" => 25, "pear" => 40}
  # How long to look away from an empty queue, in milliseconds.
  @pause 1

  def start_link(folder), do: GenServer.start_link(__MODULE__, folder)

  @impl true
  def init(folder) do
    Process.flag(:trap_exit, true)
    {:ok, requests} = :emmap_queue.open(Path.join(folder, "requests.q"), 65_536, [])
    {:ok, %{folder: folder, requests: requests, answers: %{}}, {:continue, :look}}
  end

  @impl true
  def handle_continue(:look, state), do: look(state)

  @impl true
  def handle_info(:look, state), do: look(state)

  @impl true
  def terminate(_reason, state) do
    for queue <- [state.requests | Map.values(state.answers)], do: :emmap_queue.close(queue)
  end

  defp look(state) do
    # The function answers in this process, so that the state stays here; what it returns is never nil.
    case :emmap_queue.try_pop(state.requests, &answer(&1, state)) do
      nil ->
        Process.send_after(self(), :look, @pause)
        {:noreply, state}

      %{} = state ->
        {:noreply, state, {:continue, :look}}
    end
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

  # What is no request goes, or it would stay the first for ever.
  defp answer(other, state) do
    IO.puts(:stderr, "dropped #{inspect(other)}")
    state
  end

  defp open_answers(client, state) when is_map_key(state.answers, client), do: state

  defp open_answers(client, state) do
    # Of the name only what is no way to another folder.
    path = Path.join(state.folder, "answers-#{Path.basename(client)}.q")
    {:ok, queue} = :emmap_queue.open(path, 65_536, [])
    put_in(state.answers[client], queue)
  end
end

[folder] = System.argv()
File.mkdir_p!(folder)
{:ok, prices} = Prices.start_link(folder)
IO.puts("ready")

# Ends in order on SIGTERM: terminate/2 closes the queues.
me = self()
{:ok, _} = System.trap_signal(:sigterm, fn -> send(me, :stop) && :ok end)

receive do
  :stop -> GenServer.stop(prices)
end
