using System.Diagnostics;

namespace KantaGateway.Benchmarks;

/// <summary>A server in a process of its own.</summary>
sealed class ServerProcess : IAsyncDisposable
{
    private static readonly TimeSpan LongestStart = TimeSpan.FromSeconds(120);

    private readonly Process _process;

    private ServerProcess(Process process) => _process = process;

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

    /// <summary>Starts it and returns when it says that it is ready.</summary>
    /// <param name="what">See <see cref="ServeCommand"/>.</param>
    /// <exception cref="BenchmarkException">It ended, or took too long.</exception>
    public static async Task<ServerProcess> StartAsync(string what, string data, Ports ports, CancellationToken cancel)
    {
        var program = Environment.ProcessPath!;
        var start = new ProcessStartInfo(program) { RedirectStandardInput = true, RedirectStandardOutput = true };
        if (Path.GetFileNameWithoutExtension(program) == "dotnet")
            start.ArgumentList.Add(typeof(ServerProcess).Assembly.Location);
        foreach (var argument in new[] { ServeCommand.Name, what, "--data", data, "--port", ports.Base.ToString(System.Globalization.CultureInfo.InvariantCulture) })
            start.ArgumentList.Add(argument);
        var process = Process.Start(start) ?? throw new BenchmarkException($"{program} could not be started.");
        var server = new ServerProcess(process);
        using var limit = CancellationTokenSource.CreateLinkedTokenSource(cancel);
        limit.CancelAfter(LongestStart);
        try
        {
            while (await process.StandardOutput.ReadLineAsync(limit.Token) is { } line)
                if (line == ServeCommand.Ready)
                {
                    // What it says from here on is a warning; and a full pipe would stop it.
                    _ = process.StandardOutput.BaseStream.CopyToAsync(Console.OpenStandardError(), CancellationToken.None);
                    return server;
                }
            throw new BenchmarkException($"The {what} ended before it was ready; what it said stands above. Is a port from {ports.Base} in use?");
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

    public async ValueTask DisposeAsync()
    {
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
}
