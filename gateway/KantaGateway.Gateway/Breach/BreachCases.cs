using System.Globalization;
using System.Security.Cryptography;
using System.Text.Json;
using System.Text.Json.Serialization;
using KantaGateway.Audit;
using KantaGateway.Audit.Balp;

namespace KantaGateway.Gateway.Breach;

/// <summary>What was seen.</summary>
public enum BreachKind
{
    /// <summary>Somebody was shown what a denial covers.</summary>
    DeniedDataShown,

    /// <summary>Something was answered that does not stand in the audit log.</summary>
    Unrecorded,
}

/// <summary>A breach, as the machine became aware of it.</summary>
/// <param name="Number">From 1.</param>
/// <param name="AwareAt">UTC: from here the 24 and 72 hours run (GDPR Art. 33, Act 124/2025 §11, Act 703/2023 §90).</param>
/// <param name="What">A plain sentence without personal data.</param>
/// <param name="Previous">SHA-256 of the file before, hexadecimal; empty for the first.</param>
public sealed record BreachCase(long Number, BreachKind Kind, DateTimeOffset AwareAt, string What, string Previous);

/// <summary>How a case ended: by two persons, and what they found.</summary>
/// <param name="Number">Of the case.</param>
/// <param name="EndedAt">UTC.</param>
/// <param name="Finding">What was found and done, without personal data.</param>
/// <param name="Approval">Digest of the proposal that a second person has approved.</param>
/// <param name="Of">SHA-256 of the case's file, hexadecimal.</param>
public sealed record BreachCaseEnd(long Number, DateTimeOffset EndedAt, string Finding, string Approval, string Of);

/// <summary>
/// The cases of a gateway: a folder with one file a case, <c>00000001.json</c> and on, each naming the digest of the one before. Opened by the
/// machine, durable when opened, never changed; nothing deletes one. Its end, which two persons decide, is a file beside it, <c>00000001.end</c>. Each opening
/// and each end stands in the audit log too, with the file's digest. Thread-safe.
/// </summary>
public sealed class BreachCases : IDisposable
{
    private static readonly JsonSerializerOptions Format = new(JsonSerializerDefaults.Web) { Converters = { new JsonStringEnumConverter(JsonNamingPolicy.KebabCaseLower) }, WriteIndented = true };

    private readonly string _folder;
    private readonly AuditLog _audit;
    private readonly GatewayOptions _options;
    private readonly TimeProvider _time;
    private readonly FileStream _lock;
    private readonly SemaphoreSlim _turn = new(1);
    private volatile IReadOnlyList<BreachCase> _cases;
    private volatile IReadOnlyList<BreachCaseEnd> _ends;
    private string _last;

    /// <summary>Opens the folder and follows the cases to the last one.</summary>
    /// <exception cref="InvalidDataException">One has been changed or has gone.</exception>
    /// <exception cref="IOException">Another process has the folder open.</exception>
    public BreachCases(GatewayOptions options, AuditLog audit, TimeProvider time)
    {
        (_options, _audit, _time, _folder) = (options, audit, time, options.Breach!.CaseFolder);
        if (options.CreateStores)
            OwnerOnly.CreateFolder(_folder);
        _lock = OwnerOnly.OpenFile(Path.Combine(_folder, "lock"), FileShare.None);
        try
        {
            (_cases, _last) = Read();
            _ends = [.. _cases.Select(ReadEnd).OfType<BreachCaseEnd>()];
        }
        catch
        {
            _lock.Dispose();
            throw;
        }
    }

    /// <summary>All, oldest first.</summary>
    public IReadOnlyList<BreachCase> All => _cases;

    /// <summary>Of those that have ended, how.</summary>
    public IReadOnlyList<BreachCaseEnd> Ends => _ends;

    /// <summary>How a case ended; null where it has not, or there is none of that number.</summary>
    public BreachCaseEnd? EndOf(long number) => _ends.FirstOrDefault(end => end.Number == number);

    /// <summary>Whether there is a case of that number and it has not ended.</summary>
    public bool IsOpen(long number) => number >= 1 && number <= _cases.Count && EndOf(number) is null;

    /// <summary>Ends a case; it is on disk when this returns. That two persons have decided so is the caller's to know.</summary>
    /// <param name="number">Of the case.</param>
    /// <param name="finding">Without personal data.</param>
    /// <param name="approval">Digest of the approved proposal.</param>
    /// <returns>False: there is no such case, or it has ended before.</returns>
    /// <exception cref="IOException">It could not be written.</exception>
    public async Task<bool> EndAsync(long number, string finding, string approval)
    {
        await _turn.WaitAsync().ConfigureAwait(false);
        try
        {
            if (!IsOpen(number))
                return false;
            var ended = new BreachCaseEnd(number, _time.GetUtcNow(), finding, approval, DigestOf(await File.ReadAllBytesAsync(PathOf(number)).ConfigureAwait(false)));
            var bytes = JsonSerializer.SerializeToUtf8Bytes(ended, Format);
            OwnerOnly.WriteWhole(EndPathOf(number), bytes);
            // :: Durable from here on.
            _ends = [.. _ends, ended];
            await RecordAsync(ended.EndedAt, string.Create(CultureInfo.InvariantCulture, $"Ended breach case {number}: {finding}"), bytes).ConfigureAwait(false);
            return true;
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <summary>Opens a case; it is on disk when this returns. Its entry in the audit log may have failed, which the log says by itself.</summary>
    /// <param name="what">Without personal data.</param>
    /// <exception cref="IOException">It could not be written.</exception>
    public async Task<BreachCase> OpenAsync(BreachKind kind, string what)
    {
        await _turn.WaitAsync().ConfigureAwait(false);
        try
        {
            var opened = new BreachCase(_cases.Count + 1, kind, _time.GetUtcNow(), what, _last);
            var bytes = JsonSerializer.SerializeToUtf8Bytes(opened, Format);
            OwnerOnly.WriteWhole(PathOf(opened.Number), bytes);
            // :: Durable from here on.
            (_cases, _last) = ([.. _cases, opened], DigestOf(bytes));
            await RecordAsync(opened.AwareAt, string.Create(CultureInfo.InvariantCulture, $"Opened breach case {opened.Number}: {opened.What}"), bytes).ConfigureAwait(false);
            return opened;
        }
        finally
        {
            _turn.Release();
        }
    }

    public void Dispose()
    {
        _lock.Dispose();
        _turn.Dispose();
    }

    private async Task RecordAsync(DateTimeOffset at, string what, byte[] bytes)
    {
        try
        {
            await _audit.AppendAsync(OwnRecord.Of(_options, at, what, bytes, AuditOutcome.SeriousFailure)).ConfigureAwait(false);
        }
        catch (AuditUnavailableException)
        {
            // The case is written all the more: an audit log that fails may be what it is about.
        }
    }

    private (IReadOnlyList<BreachCase>, string) Read()
    {
        var (cases, last) = (new List<BreachCase>(), "");
        foreach (var file in Directory.EnumerateFiles(_folder, "*.json").Where(IsCase).Order(StringComparer.Ordinal))
        {
            var bytes = File.ReadAllBytes(file);
            if (file != PathOf(cases.Count + 1) || ReadOne<BreachCase>(bytes) is not { } one || one.Number != cases.Count + 1 || one.Previous != last)
                throw new InvalidDataException($"The breach cases have lost or changed the one before {Path.GetFileName(file)}, or that one.");
            cases.Add(one);
            last = DigestOf(bytes);
        }
        return (cases, last);
    }

    /// <summary>How a case ended; null where it has not.</summary>
    /// <exception cref="InvalidDataException">The end is not this case's.</exception>
    private BreachCaseEnd? ReadEnd(BreachCase of)
    {
        if (!File.Exists(EndPathOf(of.Number)))
            return null;
        return ReadOne<BreachCaseEnd>(File.ReadAllBytes(EndPathOf(of.Number))) is { } end && end.Number == of.Number && end.Of == DigestOf(File.ReadAllBytes(PathOf(of.Number)))
            ? end : throw new InvalidDataException($"The end of breach case {of.Number} has been changed, or is another case's.");
    }

    private static T? ReadOne<T>(byte[] bytes) where T : class
    {
        try
        {
            return JsonSerializer.Deserialize<T>(bytes, Format);
        }
        catch (JsonException)
        {
            return null;
        }
    }

    private static bool IsCase(string file) => Path.GetFileNameWithoutExtension(file) is { Length: 8 } name && name.All(char.IsAsciiDigit);

    private string PathOf(long number) => Path.Combine(_folder, number.ToString("D8", CultureInfo.InvariantCulture) + ".json");

    private string EndPathOf(long number) => Path.ChangeExtension(PathOf(number), ".end");

    private static string DigestOf(byte[] bytes) => Convert.ToHexStringLower(SHA256.HashData(bytes));
}
