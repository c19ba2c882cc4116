using System.Collections.Concurrent;
using System.Net;
using System.Net.Sockets;

namespace KantaGateway.Tests.Faults;

/// <summary>Where a line is cut.</summary>
enum Cut
{
    Nowhere,

    /// <summary>What is asked does not arrive: nobody has heard of it.</summary>
    Questions,

    /// <summary>What is asked has arrived and is done; what is answered does not come back.</summary>
    Answers,
}

/// <summary>
/// The network between two parts, on Unix sockets and whatever they speak over it. Where it is cut a connection breaks with the next bytes, and so does every one that is made anew,
/// until it is whole again.
/// </summary>
sealed class Line : IAsyncDisposable
{
    private readonly Socket _listener = new(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
    private readonly EndPoint _far;
    private readonly ConcurrentDictionary<Socket, bool> _open = [];
    private readonly Task _accepting;
    private volatile Cut _cut;
    private volatile TaskCompletionSource _moves = Moving();
    private int _held;
    private int _broken;

    /// <param name="near">Path that the one who asks is told.</param>
    /// <param name="far">Where the one who answers listens.</param>
    public Line(string near, string far)
    {
        _far = new UnixDomainSocketEndPoint(far);
        _listener.Bind(new UnixDomainSocketEndPoint(near));
        _listener.Listen();
        _accepting = AcceptAsync();
    }

    /// <summary>From now on.</summary>
    public Cut Cut
    {
        get => _cut;
        set => _cut = value;
    }

    /// <summary>From now on nothing comes back over it, and nothing breaks: the other end is slow, until <see cref="GoOn"/>.</summary>
    public void Hold() => _moves = new(TaskCreationOptions.RunContinuationsAsynchronously);

    public void GoOn() => _moves.TrySetResult();

    /// <summary>Connections on which an answer is held.</summary>
    public int Held => Volatile.Read(ref _held);

    /// <summary>Connections that broke.</summary>
    public int Broken => Volatile.Read(ref _broken);

    public async ValueTask DisposeAsync()
    {
        GoOn();
        _listener.Dispose();
        await _accepting;
        foreach (var socket in _open.Keys)
            socket.Dispose();
    }

    private static TaskCompletionSource Moving()
    {
        var moves = new TaskCompletionSource();
        moves.SetResult();
        return moves;
    }

    private async Task AcceptAsync()
    {
        try
        {
            while (true)
                _ = ConnectAsync(await _listener.AcceptAsync());
        }
        catch (Exception over) when (over is SocketException or ObjectDisposedException)
        {
        }
    }

    private async Task ConnectAsync(Socket near)
    {
        using var far = new Socket(AddressFamily.Unix, SocketType.Stream, ProtocolType.Unspecified);
        using var its = near;
        try
        {
            (_open[near], _open[far]) = (true, true);
            await far.ConnectAsync(_far);
            await await Task.WhenAny(PassAsync(near, far, Cut.Questions), PassAsync(far, near, Cut.Answers));
        }
        catch (Exception gone) when (gone is SocketException or ObjectDisposedException)
        {
        }
        finally
        {
            _open.TryRemove(near, out _);
            _open.TryRemove(far, out _);
        }
    }

    /// <summary>Until either end hangs up, or the line is cut here.</summary>
    private async Task PassAsync(Socket from, Socket to, Cut here)
    {
        var buffer = new byte[64 << 10];
        while (await from.ReceiveAsync(buffer) is var read and > 0)
        {
            if (_cut == here)
            {
                Interlocked.Increment(ref _broken);
                return;
            }
            if (here == Cut.Answers && _moves.Task is { IsCompleted: false } moves)
            {
                Interlocked.Increment(ref _held);
                await moves;
                Interlocked.Decrement(ref _held);
            }
            for (var sent = 0; sent < read;)
                sent += await to.SendAsync(buffer.AsMemory(sent, read - sent));
        }
    }
}
