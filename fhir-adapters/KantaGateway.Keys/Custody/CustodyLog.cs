using System.Globalization;
using System.Threading.Channels;
using KantaGateway.Audit;

namespace KantaGateway.Keys.Custody;

/// <summary>
/// Every key that was given out, made or refused, on disk before the answer leaves: a folder with one file a day (UTC) of <see cref="CustodyRecord"/>s, only
/// added to. Those who come while the disk is at work share the next flush. Thread-safe.
/// </summary>
sealed class CustodyLog : IAsyncDisposable
{
    private const int MostAtOnce = 4096;

    private readonly string _folder;
    private readonly Action? _beforeFlush;
    private readonly Channel<(CustodyRecord Record, TaskCompletionSource Written)> _queue = Channel.CreateBounded<(CustodyRecord, TaskCompletionSource)>(
        new BoundedChannelOptions(MostAtOnce) { SingleReader = true });
    private readonly Task _writing;

    /// <param name="beforeFlush">Called when records are written and not yet durable.</param>
    /// <exception cref="IOException">Another key service has the folder open, or it cannot be written.</exception>
    public CustodyLog(string folder, bool create, Action? beforeFlush = null)
    {
        (_folder, _beforeFlush) = (folder, beforeFlush);
        if (create)
            OwnerOnly.CreateFolder(folder);
        var turn = OwnerOnly.OpenFile(Path.Combine(folder, "lock"), FileShare.None);
        _writing = Task.Factory.StartNew(() => Write(turn), CancellationToken.None, TaskCreationOptions.LongRunning, TaskScheduler.Default);
    }

    /// <summary>Adds a record; it is on disk when this returns.</summary>
    /// <exception cref="IOException">It is not; give nothing out.</exception>
    public async ValueTask AppendAsync(CustodyRecord record)
    {
        var written = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
        await _queue.Writer.WriteAsync((record, written)).ConfigureAwait(false);
        await written.Task.ConfigureAwait(false);
    }

    /// <summary>The records since a time, in the order of their writing. A last one that was not written to its end is left out.</summary>
    public static IEnumerable<CustodyRecord> ReadSince(string folder, DateTimeOffset since)
    {
        foreach (var file in Directory.EnumerateFiles(folder, "*.custody").Order(StringComparer.Ordinal))
        {
            if (string.CompareOrdinal(Path.GetFileName(file), NameOf(since)) < 0)
                continue;
            foreach (var bytes in RecordFile.Read(file, CustodyRecord.Size))
                if (CustodyRecord.Read(bytes) is { } record && record.At >= since)
                    yield return record;
        }
    }

    public async ValueTask DisposeAsync()
    {
        _queue.Writer.TryComplete();
        await _writing.ConfigureAwait(false);
    }

    private static string NameOf(DateTimeOffset at) => at.UtcDateTime.ToString("yyyyMMdd", CultureInfo.InvariantCulture) + ".custody";

    private void Write(FileStream turn)
    {
        using var held = turn;
        FileStream? file = null;
        var batch = new List<(CustodyRecord Record, TaskCompletionSource Written)>(MostAtOnce);
        var bytes = new byte[MostAtOnce * CustodyRecord.Size];
        try
        {
            while (_queue.Reader.WaitToReadAsync().AsTask().GetAwaiter().GetResult())
            {
                batch.Clear();
                while (batch.Count < MostAtOnce && _queue.Reader.TryRead(out var next))
                    batch.Add(next);
                try
                {
                    for (var (from, to) = (0, 0); from < batch.Count; from = to)
                    {
                        // A batch over midnight goes into two files.
                        var name = Path.Combine(_folder, NameOf(batch[from].Record.At));
                        for (to = from; to < batch.Count && Path.Combine(_folder, NameOf(batch[to].Record.At)) == name; to++)
                            batch[to].Record.Write(bytes.AsSpan((to - from) * CustodyRecord.Size, CustodyRecord.Size));
                        if (file?.Name != name)
                        {
                            file?.Dispose();
                            file = null;
                            file = Open(name);
                        }
                        file.Write(bytes, 0, (to - from) * CustodyRecord.Size);
                        _beforeFlush?.Invoke();
                        file.Flush(flushToDisk: true);
                    }
                    foreach (var (_, written) in batch)
                        written.SetResult();
                }
                catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
                {
                    // What of it is on disk is not known: begin the file anew at a whole record.
                    file?.Dispose();
                    file = null;
                    foreach (var (_, written) in batch)
                        written.TrySetException(new IOException("The custody log cannot be written.", failure));
                }
            }
        }
        finally
        {
            file?.Dispose();
        }
    }

    private static FileStream Open(string name)
    {
        var file = OwnerOnly.OpenFile(name, FileShare.Read);
        // A kill may have left a part of a record.
        file.SetLength(file.Length - file.Length % CustodyRecord.Size);
        file.Seek(0, SeekOrigin.End);
        return file;
    }
}
