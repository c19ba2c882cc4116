using System.Globalization;
using System.Security.Cryptography;
using System.Text;
using System.Text.Json;
using KantaGateway.Audit;
using KantaGateway.Audit.Balp;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Gateway.Identification;

namespace KantaGateway.Gateway.Breach;

/// <summary>Something of a person's that was taken.</summary>
/// <param name="Type">FHIR resource type.</param>
/// <param name="Id">Its logical id.</param>
/// <param name="VersionId">Null: not known which.</param>
/// <param name="Controller">OID of its data controller; null: not known.</param>
public sealed record AffectedItem(string Type, string Id, string? VersionId = null, string? Controller = null);

/// <summary>A person whose data was taken.</summary>
/// <param name="Person">Whose record it is.</param>
/// <param name="Items">What was taken; empty: not known what, which the notice says.</param>
public sealed record AffectedPerson(Pseudonym Person, IReadOnlyList<AffectedItem> Items);

/// <summary>What a notice says of the breach itself, in one language (GDPR Art. 34(2)).</summary>
/// <param name="What">What happened.</param>
/// <param name="Consequences">What it may lead to.</param>
/// <param name="Measures">What has been done and is being done.</param>
public sealed record NoticeText(string What, string Consequences, string Measures);

/// <summary>What all notices of a case say. Nothing of it is about one person.</summary>
/// <param name="Contact">Who to call: name, telephone, hours.</param>
public sealed record NoticeWords(NoticeText Fi, NoticeText Sv, NoticeText En, string Contact)
{
    /// <param name="language">fi, sv or en.</param>
    public NoticeText In(string language) => language switch { "sv" => Sv, "en" => En, _ => Fi };

    /// <summary>Everything that people have written in it.</summary>
    internal IEnumerable<string?> All => new[] { Fi, Sv, En }.SelectMany(static text => text is null ? new string?[] { null } : [text.What, text.Consequences, text.Measures]).Append(Contact);
}

/// <summary>A notice to one person.</summary>
/// <param name="Id">Opaque, 32 hexadecimal digits.</param>
/// <param name="Case">Name of the case among all gateways.</param>
/// <param name="Number">Of the case at its gateway.</param>
/// <param name="SentAt">UTC.</param>
/// <param name="From">Name of the organisation that sends it.</param>
/// <param name="Code">See <see cref="NoticeCode"/>, as it is printed.</param>
public sealed record BreachNotice(string Id, string Case, long Number, DateTimeOffset AwareAt, DateTimeOffset SentAt, string From, string Code, IReadOnlyList<AffectedItem> Items, NoticeWords Words);

/// <summary>A notice with what its person has done.</summary>
/// <param name="ReadAt">UTC; null: not read.</param>
/// <param name="Done">What the person has said to have done, by its name, and when.</param>
public sealed record NoticeStanding(BreachNotice Notice, DateTimeOffset? ReadAt, IReadOnlyDictionary<string, DateTimeOffset> Done);

/// <summary>What the organisation owes to who is told, and when it was done; null: not yet.</summary>
/// <param name="Authority">The data protection authority was notified (GDPR Art. 33).</param>
/// <param name="Supervisor">The supervisor was (Act 124/2025 §11, Act 703/2023 §90).</param>
/// <param name="Contained">What let it happen was stopped.</param>
public sealed record NoticeDuties(DateTimeOffset? Authority, DateTimeOffset? Supervisor, DateTimeOffset? Contained);

/// <summary>What was taken in a case as far as notices say so: about how many persons, entries, and entries of each FHIR type.</summary>
public sealed record NoticeTotals(int Persons, int Items, IReadOnlyDictionary<string, int> Types, NoticeWords Words);

/// <summary>How far the notices of a case are.</summary>
public sealed record NoticeCount(int Sent, int Read, int Letters);

/// <summary>
/// Notices to persons whose data was taken, and what they have done since: in a folder that all gateways share, sealed, each under names that only the gateways can make. Thread-safe.
/// </summary>
/// <remarks>
/// <para>Layout: <c>people/[person]/[notice]</c> with <c>.read</c> and <c>.done</c> beside it; <c>codes/[code]</c>; <c>cases/[case]/[notice]</c> and <c>.letter</c>. Names of people and codes are
/// HMAC-SHA-256, contents AES-256-GCM, each under a key of its own derived from the identifier key. A notice is whole or not there, and is never changed.</para>
/// <para>That a notice is sent, and that it was first shown, stands in the audit log before it is.</para>
/// </remarks>
public sealed class BreachNotices : IDisposable
{
    private const string DutiesName = "duties";

    private static readonly JsonSerializerOptions Format = new(JsonSerializerDefaults.Web);

    private readonly string _folder;
    private readonly GatewayOptions _options;
    private readonly BreachCases _cases;
    private readonly AuditLog _audit;
    private readonly TimeProvider _time;
    private readonly byte[] _names, _letterKey;
    private readonly SessionProtection _seal;
    private readonly SemaphoreSlim _turn = new(1);
    private readonly Lock _telling = new();

    /// <summary>Of a notice in its case's folder: whose it is.</summary>
    private sealed record InCase(string Person, string PatientId);

    /// <summary>Of a code: what may be told to anybody.</summary>
    private sealed record Known(DateTimeOffset SentAt, string From);

    private sealed record Read(DateTimeOffset At);

    /// <param name="identifierKey">From which the keys of names and contents are derived.</param>
    public BreachNotices(GatewayOptions options, byte[] identifierKey, BreachCases cases, AuditLog audit, TimeProvider time)
    {
        (_options, _cases, _audit, _time, _folder) = (options, cases, audit, time, options.Breach!.Notices!.Folder);
        _names = HKDF.DeriveKey(HashAlgorithmName.SHA256, identifierKey, 32, info: "kanta breach notices: names"u8.ToArray());
        var contents = HKDF.DeriveKey(HashAlgorithmName.SHA256, identifierKey, 32, info: "kanta breach notices: contents"u8.ToArray());
        _seal = new([contents], static () => 0);
        _letterKey = SealedLetter.KeyIn(options.Breach.Notices.LetterKey)!;
        if (options.CreateStores)
        {
            OwnerOnly.CreateFolder(_folder);
            OwnerOnly.CreateFolder(options.Breach.Notices.LetterFolder);
        }
        _cases.Changed += TellDuties;
    }

    public void Dispose()
    {
        _cases.Changed -= TellDuties;
        _turn.Dispose();
    }

    /// <summary>What has been done about the case of a notice, at whichever gateway it is.</summary>
    /// <exception cref="IOException">It cannot be told now.</exception>
    public NoticeDuties DutiesOf(BreachNotice notice) => Open<NoticeDuties>("cases", notice.Case, DutiesName) ?? new(null, null, null);

    /// <summary>What has been done about a case of this gateway, as persons are told it.</summary>
    public NoticeDuties DutiesOf(long number)
    {
        return new(First(BreachStepKind.AuthorityNotified), First(BreachStepKind.EarlyWarningSent, BreachStepKind.IncidentNotified), First(BreachStepKind.Contained));

        DateTimeOffset? First(params ReadOnlySpan<BreachStepKind> kinds)
        {
            foreach (var step in _cases.StepsOf(number))
                if (kinds.Contains(step.Kind))
                    return step.At;
            return null;
        }
    }

    /// <summary>Puts a notice into the inbox of each person. Who has the same of this case keeps it, so a list may be sent again after an outage; other items or words are another notice.</summary>
    /// <param name="number">Of the case.</param>
    /// <param name="by">Name and id of who sends them, for the journal.</param>
    /// <param name="patientOf">The logical id of a person's Patient.</param>
    /// <returns>How many are new; null: there is no such case.</returns>
    /// <exception cref="AuditUnavailableException">Not all could be recorded, so not all are sent: send the list again.</exception>
    /// <exception cref="IOException">Likewise of what could not be written.</exception>
    public async Task<int?> SendAsync(long number, NoticeWords words, IReadOnlyList<AffectedPerson> people, string by, Func<Pseudonym, string> patientOf, CancellationToken cancel)
    {
        if (_cases.Find(number) is not { } about)
            return null;
        var name = _cases.NameOf(number);
        var (sent, isWhole) = (0, false);
        await _turn.WaitAsync(cancel).ConfigureAwait(false);
        try
        {
            foreach (var person in people.GroupBy(static one => one.Person).Select(static its => new AffectedPerson(its.Key, [.. its.SelectMany(static one => one.Items).Distinct()])))
            {
                var (whose, id) = (NameOf(person.Person), IdOf(name, person, words));
                if (File.Exists(At("cases", name, id)))
                    continue;
                var code = NoticeCode.Create();
                var notice = new BreachNotice(id, name, number, about.AwareAt, _time.GetUtcNow(), _options.Identification.Citizens.ServiceName, code.Reveal(), person.Items, words);
                await RecordAsync(person.Person, notice.SentAt, string.Create(CultureInfo.InvariantCulture, $"Sent the notice of breach case {number}."), id, patientOf, cancel).ConfigureAwait(false);
                Write(new Known(notice.SentAt, notice.From), "codes", NameOf(code));
                // A kill between the two leaves a notice that is sent once more, with another code; the one before was real too.
                Write(notice, overwrite: true, "people", whose, id);
                Write(new InCase(whose, patientOf(person.Person)), "cases", name, id);
                sent++;
            }
            isWhole = true;
        }
        finally
        {
            _turn.Release();
            // Whose notice lies there has been told, whatever became of the others.
            if (isWhole || sent > 0)
                await _cases.AddStepAsync(number, BreachStepKind.NoticesDelivered, by, note: string.Create(CultureInfo.InvariantCulture, $"{sent} notices put into inboxes{(isWhole ? "" : ", where sending broke off")}.")).ConfigureAwait(false);
        }
        return sent;
    }

    /// <summary>Has who was sent a notice of a case told to sign in; once for what is new, however often the list comes.</summary>
    /// <param name="people">And where and in which language they are told.</param>
    /// <param name="tell">Says whether it was taken.</param>
    /// <returns>How many were told now.</returns>
    /// <exception cref="IOException">It cannot be known who was told: send the list again.</exception>
    public async Task<int> TellAsync(long number, IReadOnlyList<(Pseudonym Person, string To, string Language)> people, Func<string, string, CancellationToken, Task<bool>> tell, CancellationToken cancel)
    {
        var (name, told) = (_cases.NameOf(number), 0);
        var sent = InCaseOf(number).ToLookup(static one => one.Whose.Person, static one => one.Id);
        foreach (var (person, to, language) in people)
        {
            var untold = sent[NameOf(person)].Where(id => !File.Exists(At("cases", name, id + ".told"))).ToList();
            if (untold.Count == 0 || !await tell(to, language, cancel).ConfigureAwait(false))
                continue;
            foreach (var id in untold)
                Write(new Read(_time.GetUtcNow()), "cases", name, id + ".told");
            told++;
        }
        return told;
    }

    /// <summary>The notices of a person, newest first.</summary>
    /// <exception cref="IOException">They cannot be read now.</exception>
    public IReadOnlyList<NoticeStanding> Of(Pseudonym person)
    {
        var folder = At("people", NameOf(person));
        return Directory.Exists(folder)
            ? [.. Directory.EnumerateFiles(folder).Select(Path.GetFileName).Where(static name => name is { Length: 32 }).Select(id => Find(person, id!)).OfType<NoticeStanding>().OrderByDescending(static one => one.Notice.SentAt)]
            : [];
    }

    /// <summary>A notice of a person's; null: none of that id.</summary>
    /// <exception cref="IOException">It cannot be read now.</exception>
    public NoticeStanding? Find(Pseudonym person, string id)
    {
        if (id is not { Length: 32 } || id.Any(static c => !char.IsAsciiHexDigitLower(c)))
            return null;
        var whose = NameOf(person);
        return Open<BreachNotice>("people", whose, id) is { } notice
            ? new(notice, Open<Read>("people", whose, id + ".read")?.At, Open<Dictionary<string, DateTimeOffset>>("people", whose, id + ".done") ?? []) : null;
    }

    /// <summary>The person has said to have read it; the first time counts, and is recorded.</summary>
    /// <exception cref="AuditUnavailableException">It could not be recorded.</exception>
    /// <exception cref="IOException">It could not be written.</exception>
    public async Task ReadAsync(Pseudonym person, BreachNotice notice, Func<Pseudonym, string> patientOf, CancellationToken cancel)
    {
        await _turn.WaitAsync(cancel).ConfigureAwait(false);
        try
        {
            var whose = NameOf(person);
            if (File.Exists(At("people", whose, notice.Id + ".read")))
                return;
            var now = _time.GetUtcNow();
            await RecordAsync(person, now, string.Create(CultureInfo.InvariantCulture, $"The notice of breach case {notice.Number} was read."), notice.Id, patientOf, cancel).ConfigureAwait(false);
            Write(new Read(now), "people", whose, notice.Id + ".read");
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <summary>The person has done something of what helps, or takes that back.</summary>
    /// <param name="what">Its name.</param>
    /// <exception cref="IOException">It could not be written.</exception>
    public async Task SetDoneAsync(Pseudonym person, BreachNotice notice, string what, bool isDone, CancellationToken cancel)
    {
        await _turn.WaitAsync(cancel).ConfigureAwait(false);
        try
        {
            var whose = NameOf(person);
            var done = Open<Dictionary<string, DateTimeOffset>>("people", whose, notice.Id + ".done") ?? [];
            if (isDone ? done.TryAdd(what, _time.GetUtcNow()) : done.Remove(what))
                Write(done, overwrite: true, "people", whose, notice.Id + ".done");
        }
        finally
        {
            _turn.Release();
        }
    }

    /// <summary>Whether a code is of a notice that was sent; null: it is of none.</summary>
    /// <exception cref="IOException">It cannot be told now.</exception>
    public (DateTimeOffset SentAt, string From)? Check(NoticeCode code) => Open<Known>("codes", NameOf(code)) is { } known ? (known.SentAt, known.From) : null;

    /// <summary>How far the notices of a case are.</summary>
    /// <exception cref="IOException">It cannot be told now.</exception>
    public NoticeCount CountOf(long number)
    {
        var all = InCaseOf(number).ToList();
        return new(all.Count, all.Count(one => File.Exists(At("people", one.Whose.Person, one.Id + ".read"))), all.Count(one => File.Exists(At("cases", one.Case, one.Id + ".letter"))));
    }

    /// <summary>What the notices of a case say together; null: there are none.</summary>
    /// <exception cref="IOException">It cannot be told now.</exception>
    public NoticeTotals? TotalsOf(long number)
    {
        var (types, last) = (new SortedDictionary<string, int>(StringComparer.Ordinal), (BreachNotice?)null);
        // Somebody who was told again, of more, is one person all the same, and an entry one entry.
        var people = new Dictionary<string, HashSet<AffectedItem>>(StringComparer.Ordinal);
        foreach (var (_, id, whose) in InCaseOf(number))
            if (Open<BreachNotice>("people", whose.Person, id) is { } notice)
            {
                last = last is null || last.SentAt <= notice.SentAt ? notice : last;
                if (!people.TryGetValue(whose.Person, out var items))
                    people[whose.Person] = items = [];
                foreach (var item in notice.Items)
                    if (items.Add(item))
                        types[item.Type] = types.GetValueOrDefault(item.Type) + 1;
            }
        return last is null ? null : new(people.Count, types.Values.Sum(), types, last.Words);
    }

    /// <summary>Writes a letter for each person who has not read the notice in time, once, sealed to who prints it.</summary>
    /// <param name="write">Makes the letter: a whole document to print.</param>
    /// <returns>How many are new; null: there is no such case.</returns>
    /// <exception cref="IOException">Not all could be written; those that were are not written again.</exception>
    public async Task<int?> WriteLettersAsync(long number, string by, Func<BreachNotice, string> write, CancellationToken cancel)
    {
        if (_cases.Find(number) is null)
            return null;
        var (written, until) = (0, _time.GetUtcNow().AddDays(-_options.Breach!.Notices!.LetterAfterDays));
        await _turn.WaitAsync(cancel).ConfigureAwait(false);
        try
        {
            foreach (var (name, id, whose) in InCaseOf(number).ToList())
            {
                if (File.Exists(At("people", whose.Person, id + ".read")) || File.Exists(At("cases", name, id + ".letter"))
                    || Open<BreachNotice>("people", whose.Person, id) is not { } notice || notice.SentAt > until)
                    continue;
                // For who puts it into an envelope: the id is the person's in the clinic's own system, and tells nobody else who it is.
                var letter = new SealedLetter(string.Create(CultureInfo.InvariantCulture, $"{number:D8}-{whose.PatientId}-{id[..8]}.html"), write(notice));
                OwnerOnly.WriteWhole(Path.Combine(_options.Breach.Notices.LetterFolder, string.Create(CultureInfo.InvariantCulture, $"{number:D8}-{id}{SealedLetter.Extension}")), letter.Seal(_letterKey), overwrite: true, flushFolder: true);
                Write(new Read(_time.GetUtcNow()), "cases", name, id + ".letter");
                written++;
            }
        }
        finally
        {
            _turn.Release();
        }
        if (written > 0)
            await _cases.AddStepAsync(number, BreachStepKind.LettersWritten, by, note: string.Create(CultureInfo.InvariantCulture, $"{written} letters for who has not signed in.")).ConfigureAwait(false);
        return written;
    }

    /// <summary>The journal is this gateway's; what persons are told of it lies where every gateway finds it.</summary>
    private void TellDuties()
    {
        try
        {
            lock (_telling)
                WriteDuties();
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            // What was done is in the journal all the same; the next line of it tells this too.
        }
    }

    private void WriteDuties()
    {
        foreach (var one in _cases.All)
        {
            var name = _cases.NameOf(one.Number);
            if (!Directory.Exists(At("cases", name)))
                continue;
            Write(DutiesOf(one.Number), "cases", name, DutiesName);
        }
    }

    private IEnumerable<(string Case, string Id, InCase Whose)> InCaseOf(long number)
    {
        var name = _cases.NameOf(number);
        var folder = At("cases", name);
        if (!Directory.Exists(folder))
            yield break;
        foreach (var id in Directory.EnumerateFiles(folder).Select(static file => Path.GetFileName(file)).Where(static id => id.Length == 32))
            if (Open<InCase>("cases", name, id) is { } whose)
                yield return (name, id, whose);
    }

    private async Task RecordAsync(Pseudonym person, DateTimeOffset at, string what, string id, Func<Pseudonym, string> patientOf, CancellationToken cancel) =>
        await _audit.AppendAsync(OwnRecord.Of(_options, at, what, Encoding.ASCII.GetBytes(id), AuditOutcome.Success, person, patientOf(person)), cancel).ConfigureAwait(false);

    private string NameOf(Pseudonym person) => Digest("person", person.ToArray());

    private string NameOf(NoticeCode code) => Digest("code", Encoding.ASCII.GetBytes(code.Reveal()));

    /// <summary>One notice of a case for a person that says the same, whoever sends it, however often and with its items in whichever order.</summary>
    private string IdOf(string name, AffectedPerson person, NoticeWords words) =>
        Digest(name, [.. SHA256.HashData(JsonSerializer.SerializeToUtf8Bytes(new { items = person.Items.Select(static item => JsonSerializer.Serialize(item, Format)).Order(StringComparer.Ordinal), words }, Format)), .. person.Person.ToArray()]);

    private string Digest(string kind, byte[] of) => Convert.ToHexStringLower(HMACSHA256.HashData(_names, (byte[])[.. Encoding.UTF8.GetBytes(kind), (byte)'\n', .. of]).AsSpan(0, 16));

    private string At(params ReadOnlySpan<string> parts) => Path.Combine([_folder, .. parts]);

    private void Write<T>(T content, params ReadOnlySpan<string> parts) => Write(content, overwrite: true, parts);

    private void Write<T>(T content, bool overwrite, params ReadOnlySpan<string> parts)
    {
        var file = At(parts);
        var folder = Path.GetDirectoryName(file)!;
        if (!Directory.Exists(folder))
        {
            OwnerOnly.CreateFolder(folder);
            // The folder's name lies in the one above, and that one's may be new too.
            OwnerOnly.FlushFolder(folder);
            OwnerOnly.FlushFolder(Path.GetDirectoryName(folder)!);
        }
        OwnerOnly.WriteWhole(file, _seal.Protect(JsonSerializer.SerializeToUtf8Bytes(content, Format)), overwrite, flushFolder: true);
    }

    private T? Open<T>(params ReadOnlySpan<string> parts) where T : class
    {
        try
        {
            return JsonSerializer.Deserialize<T>(_seal.Unprotect(File.ReadAllBytes(At(parts))), Format);
        }
        catch (Exception gone) when (gone is FileNotFoundException or DirectoryNotFoundException)
        {
            return null;
        }
        catch (Exception changed) when (changed is CryptographicException or JsonException)
        {
            throw new IOException("A notice of a breach has been changed, or was sealed by others.", changed);
        }
    }
}
