using System.Security.Cryptography;
using Hl7.Fhir.Model;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Interactions;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Profiles;
using KantaGateway.Fhir.Protection;
using KantaGateway.Fhir.Search;
using KantaGateway.Repository.Compartments;
using KantaGateway.Repository.Search;
using KantaGateway.Repository.Storage;

namespace KantaGateway.Repository.Interactions;

/// <summary>One attempt at a write: the steps 2 to 5 of <see cref="Writing"/>. Used once, by one request.</summary>
sealed class WriteUnit : IDisposable
{
    private readonly RepositoryRequest _request;
    private readonly IdentifierCipher _identifiers;
    private readonly bool _isBundle;
    private readonly DateTimeOffset _now;
    private readonly RowNames _names;
    private readonly ProtectionRules _rules;
    private readonly List<object> _results = [];
    private SearchSpace? _space;
    private WriteRegisters _registers = null!;

    /// <summary>Operations whose outcome is known without a row to write: reads, <c>If-None-Exist</c> with a match, deletions of nothing.</summary>
    private sealed record Unchanged(BundleOperation Operation, WriteTarget Target, CompartmentRow? Row);

    private WriteUnit(RepositoryRequest request, IdentifierCipher identifiers, ProtectionRules rules, bool isBundle, DateTimeOffset now, WriteTarget own, WriteTarget? directory)
    {
        (_request, _identifiers, _names, _rules, _isBundle, _now) = (request, identifiers, new(identifiers), rules, isBundle, now);
        (Own, Directory) = (own, directory);
    }

    /// <summary>The compartment that the request is about.</summary>
    public WriteTarget Own { get; }

    /// <summary>The directory beside a patient's compartment; null where the gateway sent no grant for it.</summary>
    public WriteTarget? Directory { get; }

    /// <summary>What is to be stored, by <c>Type/id</c>.</summary>
    public Dictionary<string, StagedRow> StagedById { get; } = new(StringComparer.Ordinal);

    /// <summary>What is wrong with the resources; the write fails when there is any.</summary>
    public List<FaultIssue> Issues { get; } = [];

    /// <summary>The operations that store something, with the resources that they store.</summary>
    public IEnumerable<BundleOperation> Operations => Staged().Select(s => s.Operation);

    /// <summary>From an entry's <c>fullUrl</c> to the <c>Type/id</c> that it has got.</summary>
    public Dictionary<string, string> Links { get; } = new(StringComparer.Ordinal);

    /// <param name="now">Becomes <c>meta.lastUpdated</c>; the time of criteria too.</param>
    public static async Task<WriteUnit> OpenAsync(RepositoryRequest request, OpenedCompartments compartments, IndexDepth depth, IdentifierCipher identifiers, ProtectionRules rules,
        bool isBundle, DateTimeOffset now, CancellationToken cancel)
    {
        var own = await OpenAsync(request.Held).ConfigureAwait(false);
        try
        {
            // References to the directory are checked on every write.
            var directory = request.Directory is { } held && !request.Compartment.IsDirectory ? await OpenAsync(held).ConfigureAwait(false) : null;
            return new(request, identifiers, rules, isBundle, now, own, directory);
        }
        catch
        {
            own.Dispose();
            throw;
        }

        async Task<WriteTarget> OpenAsync(HeldGrant held)
        {
            var lease = await compartments.OpenAsync(held.Grant.Compartment, held.Token, depth, cancel).ConfigureAwait(false);
            try
            {
                await lease.RefreshAsync(cancel).ConfigureAwait(false);
                return new(held, lease);
            }
            catch
            {
                lease.Dispose();
                throw;
            }
        }
    }

    /// <summary>Gives each operation its resource, row and id, and patches what is to be patched.</summary>
    /// <exception cref="FaultException">One of them cannot be done; the first in the order of execution.</exception>
    public async ValueTask PlaceAsync(IReadOnlyList<BundleOperation> operations, CancellationToken cancel)
    {
        _registers = new(Own.Held.Grant.Scope, operations, _request.Base, Root);
        var isTransaction = _isBundle && !ResourceRules.IsDeclaration(operations.Select(static o => ((string?)o.Type, (string?)o.Method.ToString().ToUpperInvariant())));
        foreach (var operation in operations)
        {
            var target = TargetOf(operation);
            if (ResourceRules.Refusal(operation.Type, operation.Method.ToString().ToUpperInvariant(), operation.IsConditional, isTransaction) is { } refusal)
                throw Failed(operation, refusal, "method");
            switch (operation.Method)
            {
                case BundleMethod.Get or BundleMethod.Head:
                    _results.Add(new Unchanged(operation, target, null));
                    break;
                case BundleMethod.Delete:
                    PlaceDeletion(operation, target);
                    break;
                case BundleMethod.Post:
                    PlaceCreation(operation, target);
                    break;
                case BundleMethod.Put:
                    PlaceUpdate(operation, target);
                    break;
                case BundleMethod.Patch:
                    await PlacePatchAsync(operation, target, cancel).ConfigureAwait(false);
                    break;
            }
        }
        CheckRequests();
    }

    /// <summary>A request for rectification stays what the person has asked, and is answered by who keeps the register that it is in (GDPR Art. 12, 16).</summary>
    private void CheckRequests()
    {
        foreach (var staged in Staged())
        {
            var root = Root(staged.Operation) ?? staged.Operation.Type;
            if (staged.Replaces is { Labels.IsRequest: true })
                Issues.Add(RectificationRequests.Issue("A request for rectification and its answer stay as they are. Answer with a further Communication, in inResponseTo of which the request stands.", root));
            else if (staged.Content is not Communication letter || !RectificationRequests.Says(letter))
                continue;
            else if (staged.Replaces is not null)
                Issues.Add(RectificationRequests.Issue("What is stored already becomes no request for rectification and no answer to one: store a new Communication.", root + ".category"));
            // The gateway lets the portal alone make one; another would put words into the person's mouth.
            else if (RectificationRequests.IsPersons(letter) && staged.Target.Scope.Breadth != Breadth.WholePerson)
                throw Failed(staged.Operation, FaultKind.Denied, "The person asks for rectification and takes the request back, and nobody in her place.");
            else if ((RectificationRequests.IsAnswer(letter) || RectificationRequests.IsWithdrawal(letter)) && (RectificationRequests.Wrong(letter, root) ?? WrongPlace(letter, staged, root)) is { } issue)
                Issues.Add(issue);
        }
    }

    private FaultIssue? WrongPlace(Communication answer, StagedRow staged, string root) =>
        References.TryReadLocal(References.Relative(answer.InResponseTo[0].Reference ?? "", _request.Base), out var type, out var id) && CurrentOf(type!, id!, Own) is { Labels.IsRequest: true } asked
            && (asked.Controller, asked.Register) == (staged.Controller, staged.Register) ? null
            : RectificationRequests.Issue("It names no request for rectification in this register: give Communication/[id].", root + ".inResponseTo[0]");

    /// <summary>Checks what refers to what and makes the rows.</summary>
    /// <exception cref="FaultException">422 with one issue for each reference that leads nowhere.</exception>
    public void CheckAndIndex()
    {
        var references = new WriteReferences(this, _request.Base, _identifiers);
        references.Check();
        CheckRegisters();
        foreach (var staged in Staged())
            if (staged.Content is AuditEvent entry)
                Issues.AddRange(UseLogEntry.Wrong(entry, staged.Controller, _now, Root(staged.Operation) ?? "AuditEvent"));
        RequireNoIssues();
        var events = new WriteEvents(this, references.Referrers);
        events.Find();
        RequireNoIssues();
        foreach (var staged in Staged())
            Index(staged);

        void RequireNoIssues()
        {
            if (Issues.Count > 0)
                throw new FaultException(new Fault(FaultKind.Unprocessable, [.. Issues.Take(ResourceParser.MaxIssues)]));
        }
    }

    /// <summary>A register is named when an entry is stored, and for good: whatever a Provenance is about is in the one that it names.</summary>
    private void CheckRegisters()
    {
        foreach (var staged in Staged())
        {
            if (staged.Content is not Provenance provenance || _registers.Read(provenance, Root(staged.Operation)) is not { } place)
                continue;
            if (place != (staged.Controller, staged.Register))
                Issues.Add(new("The register that a stored Provenance names cannot be changed.", $"{Root(staged.Operation) ?? "Provenance"}.entity", "business-rule"));
            for (var i = 0; i < provenance.Target.Count; i++)
            {
                if (References.Classify(provenance.Target[i].Reference, out var type, out var id) != ReferenceKind.Local)
                    continue;
                var isElsewhere = StagedById.TryGetValue($"{type}/{id}", out var other) ? place != (other.Controller, other.Register)
                    : CurrentOf(type!, id!, Own) is { } stored && place != (stored.Controller, stored.Register) && type != "Patient";
                if (isElsewhere)
                    Issues.Add(new($"The {type} is in another register than the Provenance names: name it in the transaction that stores the {type}.",
                        $"{Root(staged.Operation) ?? "Provenance"}.target[{i}]", "business-rule"));
            }
        }
    }

    /// <summary>The sealed rows; none when nothing is to be stored.</summary>
    public async ValueTask<IReadOnlyList<CompartmentAppend>> SealAsync(KeyClient keys, CancellationToken cancel)
    {
        var appends = new List<CompartmentAppend>(2);
        foreach (var target in Targets())
            if (target.Rows.Count > 0)
                appends.Add(await target.SealAsync(keys, cancel).ConfigureAwait(false));
        return appends;
    }

    /// <summary>The rows are durable: let the opened compartments have them.</summary>
    public async ValueTask CommittedAsync(OpenedCompartments compartments)
    {
        foreach (var target in Targets())
            await target.CommittedAsync(compartments).ConfigureAwait(false);
    }

    /// <param name="showsFound">Whether the answer shows what <c>If-None-Exist</c> has found.</param>
    public async ValueTask<WriteOutcome> OutcomeAsync(bool showsFound)
    {
        var results = new List<Written>(_results.Count);
        foreach (var result in _results)
            results.Add(result switch
            {
                StagedRow staged => new(staged.Operation, staged.Target.View.Compartment, staged.Row, staged.Body, true, staged.Creates, staged.IsKept),
                Unchanged { Row: { Deleted: false } found } match when showsFound => new(match.Operation, match.Target.View.Compartment, found,
                    (await match.Target.Lease.ReadAsync([found], match.Target.Scope, CancellationToken.None).ConfigureAwait(false))[0], false, false),
                Unchanged unchanged => new(unchanged.Operation, unchanged.Target.View.Compartment, unchanged.Row, default, false, false),
                _ => throw new InvalidOperationException("Unknown result."),
            });
        var policy = Own.Rows.LastOrDefault(r => r.Row!.DecidesPolicy)?.Sequence ?? Own.View.PolicyVersion;
        return new(results, policy, [.. Targets().Where(t => t.Rows.Count > 0).Select(t => new WrittenHead(t.View.Compartment.IsDirectory, t.NewHead))]);
    }

    public void Dispose()
    {
        Own.Dispose();
        Directory?.Dispose();
    }

    private IEnumerable<WriteTarget> Targets() => Directory is null ? [Own] : [Own, Directory];

    /// <summary>The rows to be stored, in the order of execution.</summary>
    public IEnumerable<StagedRow> Staged() => _results.OfType<StagedRow>();

    private WriteTarget TargetOf(BundleOperation operation)
    {
        var place = ResourceTypes.PlaceOf(operation.Type);
        if (place == ResourcePlace.Directory)
            return Own.View.Compartment.IsDirectory ? Own
                : Directory ?? (operation.IsRead ? Own : throw Failed(operation, FaultKind.Denied, "The grant does not cover the directory."));
        if (place == ResourcePlace.Refused || (Own.View.Compartment.IsDirectory && !operation.IsRead))
            throw Failed(operation, FaultKind.NotSupported, $"{operation.Type} cannot be stored here.");
        return Own;
    }

    private void PlaceCreation(BundleOperation operation, WriteTarget target)
    {
        RequireType(operation, target);
        if (operation.IfNoneExist is { } criteria && FindOne(operation, target, criteria, "ifNoneExist") is { } match)
        {
            var name = $"{operation.Type}/{_identifiers.ResourceId(target.View.Compartment, match.Resource)}";
            if (StagedById.TryGetValue(name, out var staged) && staged.Content is null)
                throw Overlap(operation, "ifNoneExist");
            _results.Add(new Unchanged(operation, target, match));
            if (operation.FullUrl is { } url)
                Links[url] = name;
            return;
        }
        Create(operation, target);
    }

    private void Create(BundleOperation operation, WriteTarget target)
    {
        // Registering a person again adds a version to the own record: the answer is the same 201, whether or not the
        // nation or this register knows them already.
        if (operation.Type == "Patient")
        {
            var (controller, register) = PlaceOf(operation, target);
            var known = target.View.PatientOf(controller, register);
            // What a buyer of services keeps of the person is the buyer's, and no producer is told that there is something: the same 201, and the record stays.
            var isKept = known is not null && controller != target.Scope.Controller;
            Stage(operation, target, isKept ? null : known, creates: true, resource: 0, isKept);
        }
        else
            Stage(operation, target, null, creates: true);
    }

    /// <summary>An update by id, or of what the criteria find; where they find nothing, a creation (http.html#cond-update).</summary>
    private void PlaceUpdate(BundleOperation operation, WriteTarget target)
    {
        if (operation.Query is not { } criteria)
        {
            Stage(operation, target, ForUpdate(operation, target));
            return;
        }
        RequireType(operation, target);
        var id = operation.Resource!.Id;
        if (FindOne(operation, target, criteria) is not { } current)
        {
            if (operation.IfMatch is not null)
                throw Failed(operation, FaultKind.VersionConflict, "The criteria match no resource, so none has the version that If-Match names.", "ifMatch");
            if (id is not null)
                throw Failed(operation, Fault.NoUpdateAsCreate);
            Create(operation, target);
            return;
        }
        if (operation.IfNoneMatch == "*")
            throw Failed(operation, FaultKind.VersionConflict, "The criteria match a resource; If-None-Match asks that there be none.", "ifNoneMatch");
        if (id is not null && id != _identifiers.ResourceId(target.View.Compartment, current.Resource))
            throw new FaultException(new Fault(FaultKind.Invalid, "The resource has another id than the one that the criteria match; leave it out.",
                _isBundle ? $"{operation.ResourceExpression}.id" : $"{operation.Type}.id"));
        RequireOwn(operation, target, current);
        RequireMatch(operation, target, current);
        Stage(operation, target, current);
    }

    private async ValueTask PlacePatchAsync(BundleOperation operation, WriteTarget target, CancellationToken cancel)
    {
        var current = Existing(operation, target) ?? throw Failed(operation, Fault.Absent);
        if (current.Deleted)
            throw Failed(operation, FaultKind.Deleted, "The resource has been deleted; create a new one.");
        RequireMatch(operation, target, current);
        var body = (await target.Lease.ReadAsync([current], target.Scope, cancel).ConfigureAwait(false))[0];
        var (patched, fault) = operation.Patch!.Apply(body);
        var changed = operation with { Resource = patched ?? throw new FaultException(fault!) };
        Writing.ValidatePatched(_request, changed, _isBundle);
        Stage(changed, target, current);
    }

    private void PlaceDeletion(BundleOperation operation, WriteTarget target)
    {
        var current = Existing(operation, target);
        if (current is null && operation.Query is null)
            throw Failed(operation, Fault.Absent);
        if (current is not null)
            RequireMatch(operation, target, current);
        else if (operation.IfMatch is not null)
            throw Failed(operation, FaultKind.VersionConflict, "The criteria match no resource, so none has the version that If-Match names.", "ifMatch");
        if (current is null or { Deleted: true })
            _results.Add(new Unchanged(operation, target, current));
        else
            Stage(operation, target, current);
    }

    /// <summary>The version that an update by id replaces.</summary>
    private CompartmentRow ForUpdate(BundleOperation operation, WriteTarget target)
    {
        var onlyNew = operation.IfNoneMatch == "*";
        if (operation.IfMatch is null && !onlyNew)
            throw Failed(operation, Fault.NoIfMatch, "ifMatch");
        var current = Existing(operation, target) ?? throw Failed(operation, Fault.NoUpdateAsCreate);
        if (current.Deleted)
            throw Failed(operation, FaultKind.Deleted, "The resource has been deleted; create a new one.");
        if (onlyNew)
            throw Failed(operation, FaultKind.VersionConflict, "The resource is there; If-None-Match asks that it be not.", "ifNoneMatch");
        RequireMatch(operation, target, current);
        return current;
    }

    /// <summary>
    /// Newest version of the resource that the id names, be it a deletion, or that the criteria find, if the requester's
    /// controller may change it; null when there is none that this request may see.
    /// </summary>
    private CompartmentRow? Existing(BundleOperation operation, WriteTarget target)
    {
        RequireType(operation, target);
        var current = operation.Query is { } criteria ? FindOne(operation, target, criteria) : CurrentOf(operation.Type, operation.Id!, target, target.Scope);
        if (current is not null)
            RequireOwn(operation, target, current);
        return current;
    }

    /// <summary>Newest version of a resource, be it a deletion; null when there is none that this request may refer to.</summary>
    public CompartmentRow? CurrentOf(string type, string id, WriteTarget target) => CurrentOf(type, id, target, target.Referable);

    private CompartmentRow? CurrentOf(string type, string id, WriteTarget target, DisclosureScope scope) =>
        _identifiers.TryReadResourceId(id, out var compartment, out var resource) && compartment == target.View.Compartment
            ? Selection.Current(target.View, scope, type, resource) : null;

    /// <summary>Newest version of a resource of the patient, whoever may see it: for what no answer depends on.</summary>
    public CompartmentRow? AnyOf(string type, string id) =>
        _identifiers.TryReadResourceId(id, out var compartment, out var resource) && compartment == Own.View.Compartment && resource != 0
            && Own.View.Current(resource) is { } row && row.Type == type ? row : null;

    private void RequireOwn(BundleOperation operation, WriteTarget target, CompartmentRow current)
    {
        if ((current.Controller, current.Register) != PlaceOf(operation, target))
            throw Failed(operation, FaultKind.Denied, "Only the organisation in whose register the resource is may change it.");
    }

    /// <summary>Controller and register that an operation's row goes to.</summary>
    private (string Controller, string Register) PlaceOf(BundleOperation operation, WriteTarget target) =>
        target.View.Compartment.IsDirectory ? (target.Controller, target.Register) : _registers.Of(operation);

    private void RequireMatch(BundleOperation operation, WriteTarget target, CompartmentRow current)
    {
        if (operation.IfMatch is null)
            return;
        var text = operation.IfMatch.AsSpan().Trim();
        if (text.StartsWith("W/", StringComparison.Ordinal))
            text = text[2..];
        if (!_identifiers.TryReadVersionId(text.Trim('"'), out var compartment, out var sequence)
            || compartment != target.View.Compartment || sequence != current.Sequence)
            throw Failed(operation, FaultKind.VersionConflict, "The resource has another version than If-Match names; read it again.", "ifMatch");
    }

    private void RequireType(BundleOperation operation, WriteTarget target)
    {
        // The gateway says the same; a will that somebody else wrote down would bind all the same, so it is said twice.
        if (operation.Type == "Consent" && target.Scope is { MayDeclare: false, Breadth: not Breadth.WholePerson })
            throw Failed(operation, FaultKind.Denied, "This grant is not one to store a declaration of will with.");
    }

    /// <summary>A sequence that no row gets, so that its version id looks like any other and names nothing.</summary>
    private static long SequenceOfNone() => IdentifierCipher.MaxSequence - RandomNumberGenerator.GetInt32(int.MaxValue);

    /// <param name="isKept">As <see cref="StagedRow.IsKept"/>.</param>
    private void Stage(BundleOperation operation, WriteTarget target, CompartmentRow? replaces, bool creates = false, long? resource = null, bool isKept = false)
    {
        var sequence = isKept ? SequenceOfNone() : target.NextSequence;
        var of = resource ?? replaces?.Resource ?? sequence;
        var (controller, register) = PlaceOf(operation, target);
        // A producer of services adds to the buyer's register what it has produced, and changes nothing that is there.
        if (controller != target.Scope.Controller && (!creates || replaces is not null))
            throw Failed(operation, FaultKind.Denied, "Into the register of another organisation only new entries are written.");
        // Nor can it finish what it has begun there: a visit that stays open would prove treatment when it is long over (§57).
        if (controller != target.Scope.Controller && operation.Resource is Encounter { Status: Encounter.EncounterStatus.Arrived or Encounter.EncounterStatus.Triaged
            or Encounter.EncounterStatus.InProgress or Encounter.EncounterStatus.Onleave, Period: null or { End: null } })
            throw new FaultException(new Fault(FaultKind.Unprocessable, new FaultIssue(
                "A visit in another organisation's register is finished or says when it ends, for this organisation cannot finish it there. One that is still open is written in that organisation's name (service_requester).",
                $"{Root(operation) ?? operation.Type}.status", "business-rule")));
        var staged = new StagedRow
        {
            Operation = operation,
            Target = target,
            Resource = of,
            Sequence = sequence,
            Replaces = replaces,
            Content = operation.Resource,
            Creates = creates,
            IsKept = isKept,
            Id = _identifiers.ResourceId(target.View.Compartment, of),
            Controller = controller,
            Register = register,
        };
        // Two entries may come to the same resource by criteria, or by criteria and id.
        if (!StagedById.TryAdd($"{operation.Type}/{staged.Id}", staged))
            throw Overlap(operation);
        if (!isKept)
            target.Rows.Add(staged);
        _results.Add(staged);
        if (operation.FullUrl is { } url)
            Links[url] = $"{operation.Type}/{staged.Id}";
    }

    /// <summary>The one resource that criteria match; null when there is none that this request may see.</summary>
    /// <exception cref="FaultException">They are no search, or match more than one (412).</exception>
    private CompartmentRow? FindOne(BundleOperation operation, WriteTarget target, string criteria, string element = "url")
    {
        var (matches, fault) = Find(target, operation.Type, criteria);
        return fault is not null ? throw Failed(operation, FaultKind.Invalid, fault.Issues[0].Diagnostics, element)
            : matches.Count <= 1 ? matches.FirstOrDefault()
            : throw Failed(operation, FaultKind.VersionConflict, "The criteria match more than one resource; make them narrower.", element);
    }

    /// <summary>At most two resources that criteria match: enough to know none, one and many.</summary>
    /// <returns>A fault where they are no search.</returns>
    public (List<CompartmentRow> Matches, Fault? Fault) Find(WriteTarget target, string type, string criteria)
    {
        var (query, fault) = SearchQuery.Parse(type, criteria.TrimStart('?'), _identifiers, target.View.Compartment, _now, _request.Base);
        if (query is null)
            return ([], fault);
        _space ??= new(new(Own.View, Own.View, Own.Searchable), Directory is null ? null : new(Directory.View, Directory.View, Directory.Searchable), _names, _identifiers);
        return ([.. _space.OfType(type, query).Where(query.Over(_space).Matches).Take(2)], null);
    }

    // :: rows

    private void Index(StagedRow staged)
    {
        var updated = new DateTimeOffset(_now.UtcTicks - _now.UtcTicks % TimeSpan.TicksPerMillisecond, TimeSpan.Zero);
        if (staged.Content is { } content)
        {
            content.Id = staged.Id;
            content.Meta ??= new();
            content.Meta.VersionId = _identifiers.VersionId(staged.Target.View.Compartment, staged.Sequence);
            content.Meta.LastUpdated = updated;
            staged.Body = ResourceParser.Serialize(content);
        }
        var targets = WriteEvents.TargetsOf(staged);
        var header = new IndexHeader
        {
            Type = staged.Operation.Type,
            ResourceSequence = staged.Resource,
            RowSequence = staged.Sequence,
            Controller = staged.Controller,
            Register = staged.Register,
            ServiceEvent = staged.ServiceEvent,
            RelatedEvents = [.. staged.Shown.Where(e => e != staged.ServiceEvent).Order(StringComparer.Ordinal)],
            BodySize = staged.Body.Length,
            LastUpdated = updated,
            IsDeleted = staged.Content is null,
            // A patch leaves what it does not speak of, the content of a Binary too.
            Targets = targets,
            Content = staged.Operation.Content ?? (staged is { Operation.Method: BundleMethod.Patch, Content: Binary { Data: null } } ? staged.Replaces?.Content : null),
            Labels = LabelsOf(staged, targets.Length > 0),
            HasContacts = staged.Content is { } told && ContactDetails.MayBeIn(told),
            // Whoever deletes a record takes no protection from the person.
            NonDisclosure = staged.Content is { } labelled ? ContactDetails.AreLabelled(labelled) : staged.Replaces!.NonDisclosure,
        };
        var entry = Indexer.Build(header, staged.Content);
        staged.Row = CompartmentRow.Of(entry);
        if (staged.Content is not null && !staged.Target.Scope.Passes(staged.Operation.Type, entry))
            throw Failed(staged.Operation, FaultKind.Denied, "What is written is not what the token's scope describes by its search parameters.");
    }

    /// <summary>Who may be shown a row, as it says itself, as the directory says of whom it names, and by whose it is.</summary>
    private EntryLabels? LabelsOf(StagedRow staged, bool refers)
    {
        if (staged.Content is not { } content)
            return staged.Replaces!.Labels; // a deletion tells of what it deleted
        var services = staged.Target.View.Compartment.IsDirectory ? ProtectedService.None : OfPractices(staged);
        if (!staged.Target.View.Compartment.IsDirectory && content is not Patient)
            foreach (var reference in References.Of(content))
                if (reference is { Kind: ReferenceKind.Local, Type: "PractitionerRole" or "HealthcareService", Type: { } type, Id: { } id })
                    services |= StagedById.TryGetValue($"{type}/{id}", out var other) && other.Content is { } written ? _rules.LabelsOf(written)?.Services ?? 0
                        : Directory is { } directory ? CurrentOf(type, id, directory)?.Labels?.Services ?? 0 : 0;
        var labels = _rules.LabelsOf(content, services);
        // Written even where there is none: else all that it refers to would count as such.
        if (refers && WithheldRows.HasParts(staged.Operation.Type))
            return (labels ?? new()) with { About = SequencesOf(References.Parts(content)) };
        if (labels is null || content is not Provenance || (labels.Custodians == CustodianAccess.Unstated && labels.ReleasedAt is null))
            return labels;
        return labels with { About = SequencesOf(References.Accompanies(content)) };
    }

    private int[] SequencesOf(IEnumerable<(string Type, string Id)> resources)
    {
        var sequences = new SortedSet<int>();
        foreach (var (type, id) in resources)
            if ((StagedById.TryGetValue($"{type}/{id}", out var other) ? other.Resource : CurrentOf(type, id, Own)?.Resource) is > 0 and var sequence)
                sequences.Add((int)sequence);
        return [.. sequences];
    }

    /// <summary>
    /// Of practices that do nothing else: who keeps the register, and who writes into it, be it as a producer of purchased services or by a system that a
    /// buyer's name is used with (Act 703/2023 §26.2, §13).
    /// </summary>
    private ProtectedService OfPractices(StagedRow staged) => _rules.OfController(staged.Controller) | _rules.OfController(staged.Target.Controller)
        | (staged.Target.Held.Grant.Writer is { } writer ? _rules.OfController(writer) : ProtectedService.None);

    // :: faults

    /// <summary>FHIRPath of an operation's resource; null when it is the whole body.</summary>
    public string? Root(BundleOperation operation) => _isBundle ? operation.ResourceExpression : null;

    private FaultException Failed(BundleOperation operation, FaultKind kind, string sentence, string element = "url") => Failed(operation, new Fault(kind, sentence), element);

    private FaultException Overlap(BundleOperation operation, string element = "url") =>
        Failed(operation, new Fault(FaultKind.Unprocessable, new FaultIssue("Another entry changes the same resource.", null, "structure")), element);

    /// <summary>The fault, of a Bundle's entry with the element of its request.</summary>
    private FaultException Failed(BundleOperation operation, Fault fault, string element = "url") =>
        new(_isBundle ? fault with { Issues = [fault.Issues[0] with { Expression = $"{operation.Expression}.request.{element}" }] } : fault);
}
