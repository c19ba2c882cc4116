using System.Globalization;
using System.Security.Cryptography;
using System.Text;
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

    /// <summary>A person saw it, or was told of it.</summary>
    Reported,

    /// <summary>What the repository keeps is not as it was written, or was put back to an earlier time.</summary>
    StoreChanged,

    /// <summary>A person says of an access to her record that it was not right.</summary>
    DisputedAccess,

    /// <summary>A witness of the audit log knows another history of it, or a longer one.</summary>
    LogForked,

    /// <summary>No quorum of witnesses has vouched for the audit log for long.</summary>
    Unwitnessed,

    /// <summary>A canary patient was asked for.</summary>
    CanaryTouched,

    /// <summary>Somebody opened more patients than open service events justify.</summary>
    BreadthExceeded,

    /// <summary>A key was given out that pairs with no grant of a gateway, or with no entry in the audit log.</summary>
    UnpairedKey,
}

/// <summary>A breach, as the machine or a person became aware of it.</summary>
/// <param name="Number">From 1.</param>
/// <param name="AwareAt">UTC: from here the 24 and 72 hours run (GDPR Art. 33, Act 124/2025 §11, Act 703/2023 §90).</param>
/// <param name="What">A plain sentence without personal data.</param>
/// <param name="Previous">SHA-256 of the file before, hexadecimal; empty for the first.</param>
/// <param name="OpenedBy">Who opened it; null: the machine.</param>
/// <param name="OpenedAt">UTC: when it was opened, where a person stated <paramref name="AwareAt"/>; null: then.</param>
public sealed record BreachCase(long Number, BreachKind Kind, DateTimeOffset AwareAt, string What, string Previous, string? OpenedBy = null, DateTimeOffset? OpenedAt = null);

/// <summary>Who opens a case, where that is a person.</summary>
/// <param name="By">Name and id.</param>
/// <param name="AwareAt">UTC, when it became known; not later than now. Null: now.</param>
public sealed record BreachStatement(string By, DateTimeOffset? AwareAt);

/// <summary>What was done about a case.</summary>
public enum BreachStepKind
{
    /// <summary>First word to the supervisor within 24 hours (Act 124/2025 §11).</summary>
    EarlyWarningSent,

    /// <summary>The data protection authority was notified (GDPR Art. 33).</summary>
    AuthorityNotified,

    /// <summary>Notification to the supervisor within 72 hours (Act 124/2025 §11).</summary>
    IncidentNotified,

    /// <summary>Final report to the supervisor, a month later (Act 124/2025 §11).</summary>
    FinalReportSent,

    /// <summary>The persons concerned have been told (GDPR Art. 34).</summary>
    PersonsNotified,

    /// <summary>More was told to an authority than before (GDPR Art. 33(4)).</summary>
    FollowUpSent,

    /// <summary>What lets it happen was stopped.</summary>
    Contained,

    /// <summary>Anything worth keeping.</summary>
    Note,

    /// <summary>The gateway put notices into inboxes.</summary>
    NoticesDelivered,

    /// <summary>The gateway wrote letters for who does not sign in.</summary>
    LettersWritten,

    /// <summary>Somebody has received a notice that is none of ours.</summary>
    ForgeriesReported,
}

/// <summary>A line of a case's journal.</summary>
/// <param name="Case">Number of the case.</param>
/// <param name="Number">In the journal, from 1.</param>
/// <param name="At">UTC, by the gateway's clock: nobody states it.</param>
/// <param name="By">Name and id of who did it, or <c>gateway</c>.</param>
/// <param name="To">To whom, such as an authority; null: to nobody.</param>
/// <param name="Reference">Under which reference there; null: none.</param>
/// <param name="Note">Without personal data; null: none.</param>
/// <param name="Previous">SHA-256 of the file of the line before, hexadecimal; of the first, of the case's file.</param>
public sealed record BreachStep(long Case, int Number, BreachStepKind Kind, DateTimeOffset At, string By, string? To, string? Reference, string? Note, string Previous);

/// <summary>How a case ended: by two persons, and what they found.</summary>
/// <param name="Number">Of the case.</param>
/// <param name="EndedAt">UTC.</param>
/// <param name="Finding">What was found and done, without personal data.</param>
/// <param name="Approval">Digest of the proposal that a second person has approved.</param>
/// <param name="Of">SHA-256 of the case's file, hexadecimal.</param>
public sealed record BreachCaseEnd(long Number, DateTimeOffset EndedAt, string Finding, string Approval, string Of);

/// <summary>
/// The cases of a gateway: a folder with one file a case, <c>00000001.json</c> and on, each naming the digest of the one before. Opened by the
/// machine or a person, durable when opened, never changed; nothing deletes one. What is done about it is its journal, a file a line, <c>00000001-0001.step</c> and on, chained to the case; its
/// end, which two persons decide, is a file beside it, <c>00000001.end</c>. Each opening, each step and each end stands in the audit log too, with the file's digest. Thread-safe.
/// </summary>
/// <remarks>
/// A chain does not show that its last link has gone, or is another now. So each file has two entries in the audit log, found by what it is (<see cref="Being"/>) and by what it follows (<see cref="Following"/>):
/// <see cref="CheckAsync"/> asks the log, of each chain's last link, whether anything follows, and of each file that it knows of, whether it is that one.
/// </remarks>
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
    private volatile IReadOnlyList<BreachStep> _steps;
    private readonly Dictionary<long, string> _heads = [];
    private readonly List<string> _names = [];
    private readonly Queue<AuditEntry> _unrecorded = [];

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
            _cases = Read();
            _ends = [.. _cases.Select(ReadEnd).OfType<BreachCaseEnd>()];
            _steps = [.. _cases.SelectMany(ReadSteps)];
            if (Directory.EnumerateFiles(_folder, "*.step").Count() != _steps.Count)
                throw new InvalidDataException("The journals of the breach cases have lost a line, or their case.");
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

    /// <summary>Raised when a case was opened or ended, or its journal has a new line.</summary>
    public event Action? Changed;

    /// <summary>The journal of a case, oldest first.</summary>
    public IReadOnlyList<BreachStep> StepsOf(long number) => [.. _steps.Where(step => step.Case == number)];

    /// <summary>The case of that number; null: none.</summary>
    public BreachCase? Find(long number) => number >= 1 && number <= _cases.Count ? _cases[(int)number - 1] : null;

    /// <summary>A name of the case that is its own among all gateways: the SHA-256 of its file, hexadecimal.</summary>
    /// <exception cref="ArgumentOutOfRangeException">There is none of that number.</exception>
    public string NameOf(long number)
    {
        lock (_names)
            return _names[(int)number - 1];
    }

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
            var ended = new BreachCaseEnd(number, _time.GetUtcNow(), finding, approval, NameOf(number));
            var bytes = JsonSerializer.SerializeToUtf8Bytes(ended, Format);
            OwnerOnly.WriteWhole(EndPathOf(number), bytes, flushFolder: true);
            // :: Durable from here on.
            _ends = [.. _ends, ended];
            await RecordAsync(ended, bytes).ConfigureAwait(false);
        }
        finally
        {
            _turn.Release();
        }
        Changed?.Invoke();
        return true;
    }

    /// <summary>Adds a line to the journal of a case; it is on disk when this returns. A case that has ended is added to as well: what comes to light later belongs to it.</summary>
    /// <param name="by">Name and id of who did it.</param>
    /// <param name="note">Without personal data, as all of it.</param>
    /// <returns>Null: there is no such case.</returns>
    /// <exception cref="IOException">It could not be written.</exception>
    public async Task<BreachStep?> AddStepAsync(long number, BreachStepKind kind, string by, string? to = null, string? reference = null, string? note = null)
    {
        BreachStep added;
        await _turn.WaitAsync().ConfigureAwait(false);
        try
        {
            if (Find(number) is null)
                return null;
            added = new(number, _steps.Count(step => step.Case == number) + 1, kind, _time.GetUtcNow(), by, to, reference, note,
                HeadOf(number));
            var bytes = JsonSerializer.SerializeToUtf8Bytes(added, Format);
            OwnerOnly.WriteWhole(StepPathOf(number, added.Number), bytes, flushFolder: true);
            // :: Durable from here on.
            (_steps, _heads[number]) = ([.. _steps, added], DigestOf(bytes));
            await RecordAsync(added, bytes).ConfigureAwait(false);
        }
        finally
        {
            _turn.Release();
        }
        Changed?.Invoke();
        return added;
    }

    /// <summary>Opens a case; it is on disk when this returns. Its entry in the audit log may have failed, which the log says by itself.</summary>
    /// <param name="what">Without personal data.</param>
    /// <param name="stated">Who opens it, and since when it is known; null: the machine, now.</param>
    /// <exception cref="ArgumentOutOfRangeException">It is stated to become known later than now.</exception>
    /// <exception cref="IOException">It could not be written.</exception>
    public async Task<BreachCase> OpenAsync(BreachKind kind, string what, BreachStatement? stated = null)
    {
        BreachCase opened;
        await _turn.WaitAsync().ConfigureAwait(false);
        try
        {
            var now = _time.GetUtcNow();
            // Time that has run cannot be given back: a clock may begin earlier than now, and never later.
            ArgumentOutOfRangeException.ThrowIfGreaterThan(stated?.AwareAt ?? now, now, nameof(stated));
            opened = new BreachCase(_cases.Count + 1, kind, stated?.AwareAt ?? now, what, Last, stated?.By, stated is null ? null : now);
            var bytes = JsonSerializer.SerializeToUtf8Bytes(opened, Format);
            OwnerOnly.WriteWhole(PathOf(opened.Number), bytes, flushFolder: true);
            // :: Durable from here on.
            lock (_names)
                _names.Add(DigestOf(bytes));
            _cases = [.. _cases, opened];
            await RecordAsync(opened, bytes).ConfigureAwait(false);
        }
        finally
        {
            _turn.Release();
        }
        Changed?.Invoke();
        return opened;
    }

    public void Dispose()
    {
        _lock.Dispose();
        _turn.Dispose();
    }

    /// <summary>Asks the audit log whether it knows of more than the folder has, and enters in it what it does not know of: an entry that failed is made up for here.</summary>
    /// <exception cref="InvalidDataException">The last case, the last line of a journal, or an end has gone or was changed.</exception>
    /// <exception cref="AuditUnavailableException">The log cannot be asked.</exception>
    public async Task CheckAsync()
    {
        await _turn.WaitAsync().ConfigureAwait(false);
        try
        {
            if (await IsRecordedAsync(Following(ACase, _cases.Count == 0 ? Beginning : Last)).ConfigureAwait(false))
                throw _cases.Count > 0 ? Lost("the last breach case") : Lost("every case of this gateway", $" If this is a new gateway, its {nameof(GatewayOptions.Breach)}.{nameof(BreachOptions.Gateway)} is one that another has.");
            foreach (var one in _cases)
            {
                if (await IsRecordedAsync(Following(AStep, HeadOf(one.Number))).ConfigureAwait(false))
                    throw Lost(string.Create(CultureInfo.InvariantCulture, $"the last line of the journal of breach case {one.Number}"));
                if (EndOf(one.Number) is null && await IsRecordedAsync(Following(AnEnd, NameOf(one.Number))).ConfigureAwait(false))
                    throw Lost(string.Create(CultureInfo.InvariantCulture, $"the end of breach case {one.Number}"));
            }
            foreach (var one in _cases)
            {
                if (await UnrecordedAsync(ACase, Before(one), PathOf(one.Number)).ConfigureAwait(false) is { } opened)
                    await RecordAsync(one, opened).ConfigureAwait(false);
                foreach (var step in StepsOf(one.Number))
                    if (await UnrecordedAsync(AStep, step.Previous, StepPathOf(one.Number, step.Number)).ConfigureAwait(false) is { } added)
                        await RecordAsync(step, added).ConfigureAwait(false);
                if (EndOf(one.Number) is { } end && await UnrecordedAsync(AnEnd, end.Of, EndPathOf(one.Number)).ConfigureAwait(false) is { } ended)
                    await RecordAsync(end, ended).ConfigureAwait(false);
            }
        }
        finally
        {
            _turn.Release();
        }

        static InvalidDataException Lost(string what, string more = "") => new($"The breach cases have lost {what}: the audit log knows of it.{more}");
    }

    private const string ACase = "case", AStep = "step", AnEnd = "end";

    /// <summary>By what the second entry of a file is found in the audit log: what the file is, and the digest of what it follows.</summary>
    private static byte[] Following(string kind, string digest) => Subject(kind, digest);

    /// <summary>By what the first is found: what the file is, and its own digest.</summary>
    private static byte[] Being(string kind, string digest) => Subject("this " + kind, digest);

    // Longer than a person's pseudonym, so it is nobody's.
    private static byte[] Subject(string what, string digest) => SHA256.HashData(Encoding.UTF8.GetBytes($"kanta breach cases\0{what}\0{digest}"))[..16];

    private async ValueTask<bool> IsRecordedAsync(byte[] subject) => (await _audit.ForSubjectAsync(subject, 1).ConfigureAwait(false)).Count > 0;

    /// <summary>A file of which the audit log does not know; null where it does.</summary>
    /// <exception cref="InvalidDataException">It knows of another in its place.</exception>
    private async Task<byte[]?> UnrecordedAsync(string kind, string previous, string file)
    {
        var bytes = await File.ReadAllBytesAsync(file).ConfigureAwait(false);
        if (!await IsRecordedAsync(Following(kind, previous)).ConfigureAwait(false))
            return bytes;
        return await IsRecordedAsync(Being(kind, DigestOf(bytes))).ConfigureAwait(false) ? null
            : throw new InvalidDataException($"The breach cases have been changed: {Path.GetFileName(file)} is not the one that the audit log knows of.");
    }

    private Task RecordAsync(BreachCase opened, byte[] bytes) =>
        RecordAsync(opened.OpenedAt ?? opened.AwareAt, string.Create(CultureInfo.InvariantCulture, $"Opened breach case {opened.Number}: {opened.What}"), bytes, ACase, Before(opened));

    private Task RecordAsync(BreachStep step, byte[] bytes) =>
        RecordAsync(step.At, string.Create(CultureInfo.InvariantCulture, $"Breach case {step.Case}, step {step.Number}: {JsonNamingPolicy.KebabCaseLower.ConvertName(step.Kind.ToString())} by {step.By}{(step.To is null ? "" : " to " + step.To)}."), bytes, AStep, step.Previous, AuditOutcome.Success);

    private Task RecordAsync(BreachCaseEnd end, byte[] bytes) =>
        RecordAsync(end.EndedAt, string.Create(CultureInfo.InvariantCulture, $"Ended breach case {end.Number}: {end.Finding}"), bytes, AnEnd, end.Of);

    private async Task RecordAsync(DateTimeOffset at, string what, byte[] bytes, string kind, string previous, AuditOutcome outcome = AuditOutcome.SeriousFailure)
    {
        // What it is before what it follows: where only the first has got in, both are entered at the next start, and no whole file seems another.
        _unrecorded.Enqueue(OwnRecord.Of(_options, at, $"Wrote: {what}", bytes, AuditOutcome.Success) with { Subject = Being(kind, DigestOf(bytes)) });
        _unrecorded.Enqueue(OwnRecord.Of(_options, at, what, bytes, outcome) with { Subject = Following(kind, previous) });
        try
        {
            // In their order: who takes the last away takes one that the log knows of.
            for (; _unrecorded.TryPeek(out var entry); _unrecorded.Dequeue())
                await _audit.AppendAsync(entry).ConfigureAwait(false);
        }
        catch (AuditUnavailableException)
        {
            // The case is written all the more: an audit log that fails may be what it is about. The next one, or the next start, enters it.
        }
    }

    /// <summary>What the first case of this gateway follows. Where several share the log each has a beginning of its own, for each has a first case.</summary>
    private string Beginning => _options.AuditPostgres is null ? "" : "of " + _options.Breach!.Gateway;

    private string Before(BreachCase one) => one.Previous.Length == 0 ? Beginning : one.Previous;

    /// <summary>Digest of the last case; empty where there is none.</summary>
    private string Last => _cases.Count == 0 ? "" : NameOf(_cases.Count);

    /// <summary>Digest of the last line of a case's journal; of the case where it has none.</summary>
    private string HeadOf(long number) => _heads.TryGetValue(number, out var head) ? head : NameOf(number);

    private IReadOnlyList<BreachCase> Read()
    {
        var (cases, last) = (new List<BreachCase>(), "");
        foreach (var file in Directory.EnumerateFiles(_folder, "*.json").Where(IsCase).Order(StringComparer.Ordinal))
        {
            var bytes = File.ReadAllBytes(file);
            if (file != PathOf(cases.Count + 1) || ReadOne<BreachCase>(bytes) is not { } one || one.Number != cases.Count + 1 || one.Previous != last)
                throw new InvalidDataException($"The breach cases have lost or changed the one before {Path.GetFileName(file)}, or that one.");
            cases.Add(one);
            _names.Add(last = DigestOf(bytes));
        }
        return cases;
    }

    /// <summary>How a case ended; null where it has not.</summary>
    /// <exception cref="InvalidDataException">The end is not this case's.</exception>
    private BreachCaseEnd? ReadEnd(BreachCase of)
    {
        if (!File.Exists(EndPathOf(of.Number)))
            return null;
        return ReadOne<BreachCaseEnd>(File.ReadAllBytes(EndPathOf(of.Number))) is { } end && end.Number == of.Number && end.Of == NameOf(of.Number)
            ? end : throw new InvalidDataException($"The end of breach case {of.Number} has been changed, or is another case's.");
    }

    /// <summary>The journal of a case, to its last line.</summary>
    /// <exception cref="InvalidDataException">A line has been changed or has gone.</exception>
    private IEnumerable<BreachStep> ReadSteps(BreachCase of)
    {
        var last = NameOf(of.Number);
        for (var number = 1; File.Exists(StepPathOf(of.Number, number)); number++)
        {
            var bytes = File.ReadAllBytes(StepPathOf(of.Number, number));
            if (ReadOne<BreachStep>(bytes) is not { } step || (step.Case, step.Number, step.Previous) != (of.Number, number, last))
                throw new InvalidDataException($"The journal of breach case {of.Number} has lost or changed the line before {number}, or that one.");
            last = _heads[of.Number] = DigestOf(bytes);
            yield return step;
        }
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

    private string StepPathOf(long number, int step) => Path.Combine(_folder, string.Create(CultureInfo.InvariantCulture, $"{number:D8}-{step:D4}.step"));

    private string EndPathOf(long number) => Path.ChangeExtension(PathOf(number), ".end");

    private static string DigestOf(byte[] bytes) => Convert.ToHexStringLower(SHA256.HashData(bytes));
}

/// <summary>Has the cases checked against the audit log before anything is served.</summary>
sealed class BreachCasesCheck(BreachCases cases) : IHostedService
{
    public Task StartAsync(CancellationToken cancellationToken) => cases.CheckAsync();

    public Task StopAsync(CancellationToken cancellationToken) => Task.CompletedTask;
}
