using System.Buffers.Binary;
using System.Security.Cryptography;
using System.Text;
using KantaGateway.Audit;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Identification;

namespace KantaGateway.Gateway.Disclosure;

/// <summary>
/// Of whom each professional and each organisation has recorded emergencies: so that one which nobody reviewed in time is found when its professional asks about
/// somebody else (Act 703/2023 §54.2; EHDS Art. 11(5)), and those that wait by who may settle them. Only says where to look: what was recorded and settled stands in
/// those people's records. Thread-safe.
/// </summary>
/// <remarks>
/// A folder that all gateways share, with one for each professional and each organisation and in it a file for each person, named by keyed digests and pseudonyms, which holds
/// when it was made. A mark is on disk before the emergency is stored, and goes an hour later or more, when nothing of that person waits.
/// </remarks>
public sealed class EmergencyTrail
{
    /// <summary>How long an answer that nothing waits is relied on.</summary>
    public static readonly TimeSpan Recent = TimeSpan.FromMinutes(1);

    /// <summary>Most people whose emergencies one list tells of: of those whom the reviewer may settle one of, those marked longest ago.</summary>
    public const int MaxListed = 200;

    /// <summary>How long after its mark an emergency has surely been stored, or never will be.</summary>
    private static readonly TimeSpan StoredWithin = TimeSpan.FromHours(1);

    /// <summary>Records that are looked into at a time.</summary>
    private const int AtATime = 8;

    private static readonly Fault Unavailable = new(FaultKind.StoreUnavailable, "Emergencies cannot be recorded or looked up at the moment. Nothing was disclosed or stored; try again.");

    private readonly bool _isNational;
    private readonly string? _folder;
    private readonly byte[] _key;
    private readonly PolicyLookup _policies;
    private readonly DisclosureAudit _audit;
    private readonly TimeProvider _time;
    private readonly RecentCache<string, DateTimeOffset> _clear = new(10_000);

    /// <param name="options">Its <see cref="GatewayOptions.EmergencyFolder"/>; made where stores are.</param>
    /// <param name="identifierKey">Under which names are digested.</param>
    /// <param name="policies">Where the emergencies are read.</param>
    /// <param name="audit">Where it stands who looked for them in whose records.</param>
    /// <param name="time">The clock of marks.</param>
    public EmergencyTrail(GatewayOptions options, byte[] identifierKey, PolicyLookup policies, DisclosureAudit audit, TimeProvider time)
    {
        (_folder, _policies, _audit, _time) = (options.EmergencyFolder, policies, audit, time);
        // Ids that the role register knows are the same wherever the professional works; others are their organisation's own.
        _isNational = options.Identification.RoleRegister is not null;
        _key = HKDF.DeriveKey(HashAlgorithmName.SHA256, identifierKey, 32, info: "kanta emergency trail"u8.ToArray());
        if (_folder is not null && options.CreateStores)
            OwnerOnly.CreateFolder(_folder);
    }

    /// <summary>Marks that a professional is about to record an emergency of a person; durable when this returns.</summary>
    /// <exception cref="FaultException">It cannot be marked, so nothing may be recorded.</exception>
    public void Mark(Requester professional, Pseudonym person)
    {
        if (_folder is null)
            throw new FaultException(Unavailable);
        var now = _time.GetUtcNow();
        var (unit, self) = RecorderOf(professional);
        // Of one person several may have recorded some for the organisation, and each is reviewed by others.
        foreach (var (name, file) in (ReadOnlySpan<(string, string)>)[(NameOf(professional), person.Encode()), (NameOfOrganisation(professional), EmergencyMark.NameOf(person, unit, self))])
            Try(() => { EmergencyMark.Make(Path.Combine(_folder, name), file, now); return true; });
        _clear.Set(NameOf(professional), DateTimeOffset.MinValue);
    }

    /// <summary>Whether an emergency that the professional recorded of somebody has waited too long for its review.</summary>
    /// <exception cref="FaultException">It cannot be told.</exception>
    public async ValueTask<bool> IsOverdueAsync(HttpContext context, Requester professional)
    {
        if (_folder is null)
            return false;
        var (name, now) = (NameOf(professional), _time.GetUtcNow());
        if (_clear.TryGet(name, out var known) && now - known < Recent && known <= now)
            return false;
        var organisation = _isNational ? null : professional.Organisation.ToString();
        var isOverdue = false;
        await LookAsync(context, professional, MarksIn(name),
            e => e.Professional == professional.ProfessionalId && (organisation is null || e.Organisation == organisation) && !(e.At < professional.EmergencyBarEnded),
            (_, policy, _) => isOverdue |= policy.HasOverdueEmergency(professional.ProfessionalId, organisation, now, professional.EmergencyBarEnded));
        if (!isOverdue)
            _clear.Set(name, now);
        return isOverdue;
    }

    /// <summary>How many people of an organisation may have an emergency that waits for its review, and of how many it was marked longer ago than a review may take; of no person. At most: a mark goes when somebody who may settle looks.</summary>
    /// <exception cref="FaultException">It cannot be told.</exception>
    public (int Waiting, int Overdue) Count()
    {
        if (_folder is null)
            return (0, 0);
        var due = _time.GetUtcNow() - EmergencyAccess.ReviewedWithin;
        // Of each emergency there are two marks: of its organisation, which names unit and professional, and of its professional.
        var marks = Try(() => Directory.EnumerateDirectories(_folder).SelectMany(Directory.GetFiles).Select(EmergencyMark.Read).OfType<EmergencyMark>().Where(static mark => mark.Unit is not null).ToList());
        return (marks.Count, marks.Count(mark => mark.At < due));
    }

    /// <summary>The emergencies of the reviewer's organisation that the reviewer may settle, and that nobody has (EHDS Art. 11(5)), by person.</summary>
    /// <exception cref="FaultException">They cannot be told.</exception>
    public async Task<IReadOnlyList<(Pseudonym Person, IReadOnlyList<EmergencyAccess> Emergencies)>> WaitingForAsync(HttpContext context, Requester reviewer)
    {
        if (_folder is null)
            return [];
        var organisation = reviewer.Organisation.ToString();
        var (unit, self) = RecorderOf(reviewer);
        var found = new List<(Pseudonym Person, IReadOnlyList<EmergencyAccess>)>();
        IGrouping<Pseudonym, EmergencyMark>[] people = [.. MarksIn(NameOfOrganisation(reviewer)).Where(m => m.Unit != unit && m.Professional != self).OrderBy(m => m.At).GroupBy(m => m.Person)];
        // Whatever waits for somebody else may not hide what waits for this reviewer: they are looked into until there are enough of those, or no more.
        for (var looked = 0; looked < people.Length && found.Count < MaxListed; looked += MaxListed)
            await LookAsync(context, reviewer, [.. people.Skip(looked).Take(MaxListed).SelectMany(static its => its)], e => e.Organisation == organisation,
                (person, _, waiting) =>
                {
                    if (waiting.FindAll(e => ConsentDecision.MayReview(reviewer, e)) is { Count: > 0 } reviewable)
                        found.Add((person, reviewable));
                });
        var order = people.Select(static (its, at) => (its.Key, at)).ToDictionary();
        return [.. found.OrderBy(one => order[one.Person]).Take(MaxListed)];
    }

    /// <summary>Looks into the records of those who are marked, which is on record first, some at a time; marks of whom nothing waits go.</summary>
    /// <param name="of">Which emergencies the marks are of.</param>
    /// <param name="tell">Told of each person which of those wait; one call at a time.</param>
    /// <exception cref="FaultException">One record cannot be read: what waits is not known.</exception>
    private async Task LookAsync(HttpContext context, Requester who, IReadOnlyList<EmergencyMark> marks, Func<EmergencyAccess, bool> of,
        Action<Pseudonym, PolicySnapshot, List<EmergencyAccess>> tell)
    {
        if (marks.Count == 0)
            return;
        var now = _time.GetUtcNow();
        var people = marks.ToLookup(static m => m.Person);
        await _audit.LookAsync(context, who, people.Select(static p => p.Key));
        var turn = new Lock();
        await Parallel.ForEachAsync(people, new ParallelOptions { MaxDegreeOfParallelism = AtATime, CancellationToken = context.RequestAborted }, async (its, cancel) =>
        {
            var policy = await _policies.FetchAsync(who, its.Key, cancel);
            List<EmergencyAccess> waiting = [.. policy.UnsettledAt(now).Where(of)];
            lock (turn)
                tell(its.Key, policy, waiting);
            if (waiting.Count == 0)
                foreach (var mark in its.Where(m => now - m.At > StoredWithin))
                    Try(() => { mark.Drop(); return true; });
        });
    }

    private List<EmergencyMark> MarksIn(string name) => Try(() => EmergencyMark.AllIn(Path.Combine(_folder!, name)));

    private string NameOf(Requester professional) => Digest(_isNational ? professional.ProfessionalId! : $"{professional.Organisation}|{professional.ProfessionalId}");

    /// <summary>Who records, as a mark of the organisation names it: whose unit it is, or who it is, settles nothing of it and opens no record for it.</summary>
    private (string Unit, string Professional) RecorderOf(Requester professional) => (Digest($"unit\n{professional.Organisation}\n{professional.Unit}"), Digest($"professional\n{professional.ProfessionalId}"));

    /// <summary>Another name than any professional's: no id of one holds a line break.</summary>
    private string NameOfOrganisation(Requester professional) => Digest($"organisation\n{professional.Organisation}");

    private string Digest(string of) => Convert.ToHexStringLower(HMACSHA256.HashData(_key, Encoding.UTF8.GetBytes(of)).AsSpan(0, 16));

    private static T Try<T>(Func<T> access)
    {
        try
        {
            return access();
        }
        catch (Exception failure) when (failure is IOException or UnauthorizedAccessException)
        {
            throw new FaultException(Unavailable);
        }
    }
}

/// <summary>That an emergency of a person may wait for its review, or a request for rectification for its answer.</summary>
/// <param name="File">Where it is.</param>
/// <param name="At">When it was made, UTC.</param>
/// <param name="Unit">Digest of the unit for which it was recorded; null: the mark does not say.</param>
/// <param name="Professional">Digest of who recorded it; null: the mark does not say.</param>
sealed record EmergencyMark(string File, Pseudonym Person, DateTimeOffset At, string? Unit = null, string? Professional = null)
{
    /// <summary>Before the digests in a mark's name; in no pseudonym.</summary>
    private const char By = '!';

    /// <summary>Between a mark's name and what makes it one that nobody writes to; in no pseudonym.</summary>
    private const char Aside = '~';

    /// <summary>File name of a mark that says for which unit and by whom the emergency was recorded.</summary>
    public static string NameOf(Pseudonym person, string unit, string professional) => string.Join(By, person.Encode(), unit, professional);

    /// <summary>Makes one, or makes it anew; it is durable when this returns.</summary>
    /// <param name="folder">Made where it is missing.</param>
    /// <param name="name">The pseudonym as a file name, or <see cref="NameOf"/>.</param>
    /// <param name="at">When, UTC.</param>
    /// <exception cref="IOException">It may not be there.</exception>
    public static void Make(string folder, string name, DateTimeOffset at)
    {
        OwnerOnly.CreateFolder(folder);
        var content = new byte[sizeof(long)];
        BinaryPrimitives.WriteInt64LittleEndian(content, at.UtcTicks);
        var mark = Path.Combine(folder, name);
        // Under a name of its own first: two gateways may mark one person at a time. What a kill leaves of it is no pseudonym's.
        var beside = $"{mark}.{Guid.NewGuid():N}";
        OwnerOnly.WriteWhole(beside, content);
        System.IO.File.Move(beside, mark, overwrite: true);
        OwnerOnly.FlushFolder(mark);
    }

    /// <summary>Those in a folder, in no order; none where there is no such folder.</summary>
    public static List<EmergencyMark> AllIn(string folder) => Directory.Exists(folder) ? [.. Directory.GetFiles(folder).Select(Read).OfType<EmergencyMark>()] : [];

    /// <summary>Null: it is none, or has gone meanwhile.</summary>
    public static EmergencyMark? Read(string file)
    {
        try
        {
            var parts = Path.GetFileName(file).Split(Aside)[0].Split(By);
            return Pseudonym.TryDecode(parts[0], out var person) && parts is [_] or [_, _, _] ? new(file, person, TimeIn(file), parts.ElementAtOrDefault(1), parts.ElementAtOrDefault(2)) : null;
        }
        catch (FileNotFoundException)
        {
            return null;
        }
    }

    /// <summary>
    /// Takes it away, but not one that was made anew since it was read. It is put aside first, under a name that nobody else writes to, and looked at there; a kill in
    /// between leaves it aside, where it is a mark as before.
    /// </summary>
    public void Drop()
    {
        try
        {
            var aside = File.Contains(Aside, StringComparison.Ordinal) ? File : $"{File}{Aside}{Guid.NewGuid():N}";
            if (aside != File)
                System.IO.File.Move(File, aside);
            if (TimeIn(aside) == At)
                System.IO.File.Delete(aside);
            else
                System.IO.File.Move(aside, File);
        }
        catch (FileNotFoundException)
        {
            // Somebody else took it away.
        }
        catch (IOException) when (System.IO.File.Exists(File))
        {
            // Made anew once more meanwhile: the one that is aside is one too many, and goes when it is looked at again.
        }
    }

    private static DateTimeOffset TimeIn(string file) =>
        System.IO.File.ReadAllBytes(file) is { Length: sizeof(long) } content ? new(BinaryPrimitives.ReadInt64LittleEndian(content), TimeSpan.Zero) : DateTimeOffset.MinValue;
}
