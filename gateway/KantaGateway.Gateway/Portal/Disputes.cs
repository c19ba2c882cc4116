using System.Globalization;
using System.Threading.RateLimiting;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Breach;
using KantaGateway.Gateway.Consent;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Forwarding;
using KantaGateway.Gateway.Identification;
using KantaGateway.Gateway.Identification.Operators;
using Microsoft.Net.Http.Headers;

namespace KantaGateway.Gateway.Portal;

/// <summary>A disputed access and how far it is.</summary>
/// <param name="AnswerBy">When the citizen is answered at the latest.</param>
/// <param name="End">How it was settled; null: it is not.</param>
internal sealed record Dispute(AccessRestriction Restriction, DateTimeOffset AnswerBy, DisputeEnd? End)
{
    /// <summary>Whether whoever had the access is shown nothing meanwhile.</summary>
    public bool Holds => Restriction.IsActive && End is null;
}

/// <summary>
/// "I was not there": the citizen disputes an access to her record. From the answer on whoever had it is shown nothing of the record, on every gateway, since it stands in the record (<see cref="AccessRestriction"/>), and a breach case
/// is open. It ends when two operators have settled it with an answer to her, or she takes it back.
/// </summary>
/// <remarks>Before the record is closed to somebody a mark is on disk (<see cref="DisputeMarks"/>), and it goes when the case is open: a gateway that is killed in between opens the case when it runs again.</remarks>
internal sealed partial class Disputes(IAccessLog log, IInnerRequests requests, IWhoSeesWhat sees, DisputeStandings standings, PolicyRequests policies, IdentifierCipher ids, GatewayOptions options, TimeProvider time, IServiceProvider services, ILogger<Disputes> logger)
{
    /// <summary>Disputes of one person that wait for each other at most; the next one is told to come again.</summary>
    private const int MostWaiting = 8;

    /// <summary>One at a time of a person: the same entry from two windows is one case. Nobody waits for anybody else's record.</summary>
    private static readonly PartitionedRateLimiter<Pseudonym> Turns = PartitionedRateLimiter.Create<Pseudonym, Pseudonym>(static person =>
        RateLimitPartition.GetConcurrencyLimiter(person, static _ => new() { PermitLimit = 1, QueueLimit = MostWaiting }));

    /// <summary>After that a request to the repository is over, whoever sent it.</summary>
    private static readonly TimeSpan LongestStoring = TimeSpan.FromMinutes(10);

    private static readonly TimeSpan Day = TimeSpan.FromDays(1);

    private readonly DisputeMarks? _marks = options.Breach is { } breach ? new(breach.CaseFolder) : null;

    /// <summary>Disputes an entry of the audit log; again, it is the same dispute.</summary>
    /// <returns>Null: it is no access of a place of care to the citizen's record. Nothing was stored.</returns>
    /// <exception cref="RefusedException">The record did not take it.</exception>
    /// <exception cref="FaultException">The log, the key service or the repository cannot be reached, or the citizen has disputed as many accesses as may be within a day (<see cref="FaultKind.TooMany"/>).</exception>
    public async Task<Dispute?> DisputeAsync(Requester citizen, long entry, CancellationToken cancel)
    {
        if (await log.ProveAsync(citizen, entry, cancel) is not { Line: { IsOfCare: true } line })
            return null;
        using (await TakeTurnAsync(citizen.Person!.Value, cancel))
        {
            var all = await ListAsync(citizen, cancel);
            string? mark = null;
            if (all.FirstOrDefault(one => one.Restriction.Entry == entry && one.Restriction.IsActive) is not { } dispute)
            {
                var restriction = new AccessRestriction { At = time.GetUtcNow(), Organisation = line.OrganisationOid, Unit = line.Unit, Entry = entry };
                RequireFewer(all, restriction.At);
                var patient = ids.PatientId(citizen.Person!.Value);
                mark = _marks?.Add(new(patient, entry, restriction.At));
                // :: From here on whoever runs this gateway next knows that there may be a dispute.
                var answer = await requests.SendAsync(citizen, "POST", "Consent", Declarations.Restriction(patient, restriction), cancel: cancel);
                FhirAnswers.RequireSuccess(answer);
                // :: In force from here on (law 3).
                dispute = new(restriction with { Id = answer.Headers.Location.ToString().Split("/Consent/")[1].Split('/')[0] }, standings.AnswerByOf(restriction), null);
            }
            try
            {
                await OpenCaseAsync(dispute.Restriction);
                if (mark is not null)
                    File.Delete(mark);
            }
            catch (Exception failure) when (mark is not null && failure is IOException or UnauthorizedAccessException)
            {
                // It is in force, and its mark brings the case.
                LogNoCase(dispute.Restriction.Id, failure.GetType().Name);
            }
            return dispute;
        }
    }

    /// <summary>Opens the case of each dispute that is in a record and has none, where a mark says that there may be one.</summary>
    /// <exception cref="FaultException">The repository or the key service does not answer; the marks stay.</exception>
    /// <exception cref="IOException">A case could not be opened; its mark stays.</exception>
    public async Task RecoverAsync(CancellationToken cancel)
    {
        foreach (var (file, mark) in _marks?.All ?? [])
        {
            var isReadable = ids.TryReadResourceId(mark?.PatientId ?? "", out var person, out _);
            using (isReadable ? await TakeTurnAsync(person, cancel) : null)
            {
                // Whoever had the turn may have come to its end.
                if (!File.Exists(file))
                    continue;
                var stored = mark is null || !isReadable ? []
                    : (await policies.AskAsync(Requester.OfGateway(options, "disputes", time.GetUtcNow()), person, "/policy", null, PolicyLookup.Compile, cancel)).Declarations.OfType<AccessRestriction>().Where(one => one.Entry == mark.Entry).ToList();
                foreach (var restriction in stored)
                    await OpenCaseAsync(restriction);
                // Of what is not there yet the repository may still be on its way.
                if (stored.Count > 0 || mark is null || time.GetUtcNow() - mark.At > LongestStoring)
                    File.Delete(file);
            }
        }
    }

    /// <summary>All of the citizen's, newest first.</summary>
    /// <exception cref="FaultException">They cannot be read.</exception>
    public async Task<IReadOnlyList<Dispute>> ListAsync(Requester citizen, CancellationToken cancel) => standings.Of((await sees.PolicyAsync(citizen, cancel)).Declarations);

    /// <summary>Takes a dispute back. Its case stays open until two have ended it.</summary>
    /// <returns>False: there is none that holds.</returns>
    /// <exception cref="RefusedException">It changed in between: it holds as before.</exception>
    public async Task<bool> TakeBackAsync(Requester citizen, string id, CancellationToken cancel)
    {
        if (!(await ListAsync(citizen, cancel)).Any(one => one.Restriction.Id == id && one.Restriction.IsActive))
            return false;
        var read = await requests.SendAsync(citizen, "GET", $"Consent/{id}", cancel: cancel);
        var headers = new HeaderDictionary { [HeaderNames.IfMatch] = read.Headers.ETag };
        FhirAnswers.RequireSuccess(await requests.SendAsync(citizen, "PUT", $"Consent/{id}", Declarations.Withdrawn(FhirAnswers.Success(read)), headers: headers, cancel: cancel));
        return true;
    }

    /// <exception cref="FaultException">As many wait already.</exception>
    private static async Task<RateLimitLease> TakeTurnAsync(Pseudonym person, CancellationToken cancel)
    {
        var turn = await Turns.AcquireAsync(person, cancellationToken: cancel);
        if (turn.IsAcquired)
            return turn;
        turn.Dispose();
        throw new FaultException(new Fault(FaultKind.StoreUnavailable, "Other disputes of the same record are being stored. Nothing of this one was; try again."));
    }

    /// <exception cref="FaultException">There are as many within a day as may be.</exception>
    private void RequireFewer(IReadOnlyList<Dispute> all, DateTimeOffset now)
    {
        var most = standings.Bounds.DisputesPerDay;
        var within = all.Select(static one => one.Restriction.At).Where(at => at > now - Day).Order().ToList();
        if (within.Count >= most)
            throw new FaultException(new Fault(FaultKind.TooMany, string.Create(CultureInfo.InvariantCulture,
                $"At most {most} accesses are disputed within 24 hours; those disputed before hold. Dispute the others later, or write to the data protection officer of the place if there are many.")) { RetryAfter = within[^most] + Day - now });
    }

    [LoggerMessage(1232, LogLevel.Critical, "Dispute {Dispute} is in force, and its breach case could not be opened ({Type}); it is tried again every minute.")]
    private partial void LogNoCase(string dispute, string type);

    private const string OfEntry = ", entry ";

    /// <summary>Which entry of the audit log the case of a dispute is about; null: it does not say.</summary>
    internal static long? EntryOf(BreachCase dispute) => dispute.What.IndexOf(OfEntry, StringComparison.Ordinal) is >= 0 and var at && dispute.What[(at + OfEntry.Length)..] is var rest
        && long.TryParse(rest.AsSpan(0, Math.Max(0, rest.IndexOf(' ', StringComparison.Ordinal))), NumberStyles.None, CultureInfo.InvariantCulture, out var entry) ? entry : null;

    private async Task OpenCaseAsync(AccessRestriction restriction)
    {
        if (services.GetService<BreachCases>() is not { } cases || cases.All.Any(one => one.Kind == BreachKind.DisputedAccess && one.What.Contains(restriction.Id, StringComparison.Ordinal)))
            return;
        await cases.OpenAsync(BreachKind.DisputedAccess, string.Create(CultureInfo.InvariantCulture,
            $"A person disputes an access: dispute {restriction.Id}{OfEntry}{restriction.Entry} of the audit log, by {restriction.Organisation}{(restriction.Unit is { } unit ? $", unit {unit}" : "")}. It is answered by {standings.AnswerByOf(restriction):yyyy-MM-dd} at the latest; until then they are shown nothing of the record."));
    }
}
