using System.Diagnostics;
using System.Text.Json;
using System.Threading.Channels;

namespace KantaGateway.Benchmarks;

/// <summary>A part of the benchmark in a process of its own: a server, or the load generator.</summary>
sealed class ServerProcess : IAsyncDisposable
{
    private static readonly TimeSpan LongestStart = TimeSpan.FromSeconds(120);

    private readonly Process _process;
    private readonly SemaphoreSlim _asking = new(1);

    private readonly Channel<string> _answers = Channel.CreateUnbounded<string>();

    private ServerProcess(Process process)
    {
        _process = process;
        _ = PumpAsync();
    }

    public int Id => _process.Id;

    /// <summary>Processor time used so far, user and system.</summary>
    public TimeSpan Cpu
    {
        get
        {
            _process.Refresh();
            return _process.TotalProcessorTime;
        }
    }

    /// <summary>Bytes of memory in use now (resident set).</summary>
    public long Memory
    {
        get
        {
            _process.Refresh();
            return _process.WorkingSet64;
        }
    }

    /// <summary>What the product's images, units and launch settings give to the runtime: 64 MiB are filled before the youngest are looked at, and what is shorter than 4 MiB is one of them. A page of a long record is a megabyte.</summary>
    private static readonly (string Name, string Value)[] OfTheRuntime = [("DOTNET_GCgen0size", "0x4000000"), ("DOTNET_GCLOHThreshold", "0x400000")];

    /// <summary>Starts it and returns when it says that it is ready.</summary>
    /// <param name="what">See <see cref="ServeCommand"/>.</param>
    /// <exception cref="BenchmarkException">It ended, or took too long.</exception>
    public static async Task<ServerProcess> StartAsync(string what, string data, Ports ports, CancellationToken cancel)
    {
        var program = Environment.ProcessPath!;
        var start = new ProcessStartInfo(program) { RedirectStandardInput = true, RedirectStandardOutput = true };
        if (Path.GetFileNameWithoutExtension(program) == "dotnet")
            start.ArgumentList.Add(typeof(ServerProcess).Assembly.Location);
        foreach (var (name, value) in OfTheRuntime)
            start.Environment.TryAdd(name, value);
        foreach (var argument in new[] { ServeCommand.Name, what, "--data", data, "--port", ports.Base.ToString(System.Globalization.CultureInfo.InvariantCulture) })
            start.ArgumentList.Add(argument);
        var process = Process.Start(start) ?? throw new BenchmarkException($"{program} could not be started.");
        var server = new ServerProcess(process);
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        limit.CancelAfter(LongestStart);
        try
        {
            return await server.AnswerAsync(limit.Token) is null
                ? throw new BenchmarkException($"The {what} ended before it was ready; what it said stands above. Is a port from {ports.Base} in use?")
                : server;
        }
        catch (OperationCanceledException) when (!cancel.IsCancellationRequested)
        {
            await server.DisposeAsync();
            throw new BenchmarkException($"The {what} was not ready after {LongestStart.TotalSeconds:0} s.");
        }
        catch
        {
            await server.DisposeAsync();
            throw;
        }
    }

    /// <summary>Sends a line and waits for the line of JSON that answers it.</summary>
    /// <exception cref="BenchmarkException">The process ended instead.</exception>
    public async Task<T> AskAsync<T>(string line, CancellationToken cancel)
    {
        await _asking.WaitAsync(cancel);
        try
        {
            await _process.StandardInput.WriteLineAsync(line.AsMemory(), cancel);
            await _process.StandardInput.FlushAsync(cancel);
            var answer = await AnswerAsync(cancel) ?? throw new BenchmarkException("A process of the benchmark ended; what it said stands above.");
            return JsonSerializer.Deserialize<T>(answer)!;
        }
        finally
        {
            _asking.Release();
        }
    }

    public async ValueTask DisposeAsync()
    {
        _asking.Dispose();
        using (_process)
        {
            if (_process.HasExited)
                return;
            _process.StandardInput.Close();
            using var limit = new CancellationTokenSource(TimeSpan.FromSeconds(15));
            try
            {
                await _process.WaitForExitAsync(limit.Token);
            }
            catch (OperationCanceledException)
            {
                _process.Kill(entireProcessTree: true);
            }
        }
    }

    /// <summary>The next answer; null when the process has ended.</summary>
    private async Task<string?> AnswerAsync(CancellationToken cancel) =>
        await _answers.Reader.WaitToReadAsync(cancel) && _answers.Reader.TryRead(out var line) ? line : null;

    /// <summary>Reads on whether or not anybody waits: a full pipe would stop the process. What is no answer is a warning, and shown.</summary>
    private async Task PumpAsync()
    {
        while (await _process.StandardOutput.ReadLineAsync() is { } line)
            if (line == ServeCommand.Ready || line.StartsWith('{'))
                _answers.Writer.TryWrite(line);
            else
                await Console.Error.WriteLineAsync(line);
        _answers.Writer.TryComplete();
    }
}
