using Hl7.Fhir.Model;
using KantaGateway.Fhir.Compartment;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Identifiers;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Profiles;
using KantaGateway.Fhir.Search;
using KantaGateway.Repository.Compartments;
using KantaGateway.Repository.Storage;

namespace KantaGateway.Repository.Interactions;

/// <summary>One attempt at a write: the steps 2 to 5 of <see cref="Writing"/>. Used once, by one request.</summary>
sealed class WriteUnit : IDisposable
{
    private readonly RepositoryRequest _request;
    private readonly IdentifierCipher _identifiers;
    private readonly bool _isBundle;
    private readonly WriteTarget? _directory;
    private readonly List<object> _results = [];
    private readonly Dictionary<string, StagedRow> _stagedById = new(StringComparer.Ordinal);
    private readonly List<FaultIssue> _issues = [];

    /// <summary>Operations whose outcome is known without a row to write: reads, <c>If-None-Exist</c> with a match, deletions of nothing.</summary>
    private sealed record Unchanged(BundleOperation Operation, WriteTarget Target, CompartmentRow? Row);

    private WriteUnit(RepositoryRequest request, IdentifierCipher identifiers, bool isBundle, WriteTarget own, WriteTarget? directory) =>
        (_request, _identifiers, _isBundle, Own, _directory) = (request, identifiers, isBundle, own, directory);

    /// <summary>The compartment that the request is about.</summary>
    public WriteTarget Own { get; }

    /// <summary>The operations that store something, with the resources that they store.</summary>
    public IEnumerable<BundleOperation> Operations => Staged().Select(s => s.Operation);

    /// <summary>From an entry's <c>fullUrl</c> to the <c>Type/id</c> that it has got.</summary>
    public Dictionary<string, string> Links { get; } = new(StringComparer.Ordinal);

    public static async Task<WriteUnit> OpenAsync(RepositoryRequest request, OpenedCompartments compartments, IdentifierCipher identifiers,
        bool isBundle, CancellationToken cancel)
    {
        var own = await OpenAsync(request.Held).ConfigureAwait(false);
        try
        {
            // References to the directory are checked on every write.
            var directory = request.Directory is { } held && !request.Compartment.IsDirectory ? await OpenAsync(held).ConfigureAwait(false) : null;
            return new(request, identifiers, isBundle, own, directory);
        }
        catch
        {
            own.Dispose();
            throw;
        }

        async Task<WriteTarget> OpenAsync(HeldGrant held)
        {
            var lease = await compartments.OpenAsync(held.Grant.Compartment, held.Token, cancel).ConfigureAwait(false);
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
        foreach (var operation in operations)
        {
            var target = TargetOf(operation);
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
    }

    /// <summary>Checks what refers to what and makes the rows.</summary>
    /// <exception cref="FaultException">422 with one issue for each reference that leads nowhere.</exception>
    public void CheckAndIndex(DateTimeOffset now)
    {
        var referrers = new Dictionary<StagedRow, StagedRow>();
        foreach (var staged in Staged())
            if (staged.Content is not null)
                CheckReferences(staged, referrers);
        foreach (var staged in Staged())
            CheckBelonging(staged, referrers);
        if (_issues.Count > 0)
            throw new FaultException(new Fault(FaultKind.Unprocessable, [.. _issues.Take(ResourceParser.MaxIssues)]));
        foreach (var staged in Staged())
            FindEvents(staged, referrers);
        Spread();
        if (_issues.Count > 0)
            throw new FaultException(new Fault(FaultKind.Unprocessable, [.. _issues.Take(ResourceParser.MaxIssues)]));
        foreach (var staged in Staged())
            Index(staged, now);
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
    public async ValueTask CommittedAsync()
    {
        foreach (var target in Targets())
            if (target.Rows.Count > 0)
                await target.Lease.CommittedAsync(target.View, [.. target.Rows.Select(r => r.Row!)]).ConfigureAwait(false);
    }

    /// <param name="showsFound">Whether the answer shows what <c>If-None-Exist</c> has found.</param>
    public async ValueTask<WriteOutcome> OutcomeAsync(bool showsFound)
    {
        var results = new List<Written>(_results.Count);
        foreach (var result in _results)
            results.Add(result switch
            {
                StagedRow staged => new(staged.Operation, staged.Target.View.Compartment, staged.Row, staged.Body, true, staged.Creates),
                Unchanged { Row: { Deleted: false } found } match when showsFound => new(match.Operation, match.Target.View.Compartment, found,
                    (await match.Target.Lease.ReadAsync([found], CancellationToken.None).ConfigureAwait(false))[0], false, false),
                Unchanged unchanged => new(unchanged.Operation, unchanged.Target.View.Compartment, unchanged.Row, default, false, false),
                _ => throw new InvalidOperationException("Unknown result."),
            });
        var policy = Own.Rows.LastOrDefault(r => r.Row!.DecidesPolicy)?.Sequence ?? Own.View.PolicyVersion;
        return new(results, policy);
    }

    public void Dispose()
    {
        Own.Dispose();
        _directory?.Dispose();
    }

    private IEnumerable<WriteTarget> Targets() => _directory is null ? [Own] : [Own, _directory];

    private IEnumerable<StagedRow> Staged() => _results.OfType<StagedRow>();

    private WriteTarget TargetOf(BundleOperation operation)
    {
        var place = ResourceTypes.PlaceOf(operation.Type);
        if (place == ResourcePlace.Directory)
            return Own.View.Compartment.IsDirectory ? Own
                : _directory ?? (operation.IsRead ? Own : throw Failed(operation, FaultKind.Denied, "The grant does not cover the directory."));
        if (place == ResourcePlace.Refused || (Own.View.Compartment.IsDirectory && !operation.IsRead))
            throw Failed(operation, FaultKind.NotSupported, $"{operation.Type} cannot be stored here.");
        return Own;
    }

    private void PlaceCreation(BundleOperation operation, WriteTarget target)
    {
        RequireType(operation, target);
        if (operation.IfNoneExist is { } criteria && FindOne(operation, target, criteria, "ifNoneExist") is { } match)
        {
            _results.Add(new Unchanged(operation, target, match));
            if (operation.FullUrl is { } url)
                Links[url] = $"{operation.Type}/{_identifiers.ResourceId(target.View.Compartment, match.Resource)}";
            return;
        }
        Create(operation, target);
    }

    private void Create(BundleOperation operation, WriteTarget target)
    {
        // Registering a person again adds a version to the own record: the answer is the same 201, whether or not the
        // nation or this controller knows them already.
        if (operation.Type == "Patient")
            Stage(operation, target, target.View.PatientOf(target.Controller), creates: true, resource: 0);
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
        var body = (await target.Lease.ReadAsync([current], cancel).ConfigureAwait(false))[0];
        var (patched, fault) = operation.Patch!.Apply(body);
        Stage(operation with { Resource = patched ?? throw new FaultException(fault!) }, target, current);
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
        var current = operation.Query is { } criteria ? FindOne(operation, target, criteria) : CurrentOf(operation.Type, operation.Id!, target);
        if (current is null)
            return null;
        RequireType(operation, target);
        RequireOwn(operation, target, current);
        return current;
    }

    private CompartmentRow? CurrentOf(string type, string id, WriteTarget target) =>
        _identifiers.TryReadResourceId(id, out var compartment, out var resource) && compartment == target.View.Compartment
            ? Selection.Current(target.View, target.Scope, type, resource) : null;

    private void RequireOwn(BundleOperation operation, WriteTarget target, CompartmentRow current)
    {
        if (current.Controller != target.Controller)
            throw Failed(operation, FaultKind.Denied, "Only the organisation in whose register the resource is may change it.");
    }

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
        if (operation.Type == "Consent" && target.Scope.Breadth != Breadth.WholePerson)
            throw Failed(operation, FaultKind.Denied, "Only the person themselves declares their will.");
    }

    private void Stage(BundleOperation operation, WriteTarget target, CompartmentRow? replaces, bool creates = false, long? resource = null)
    {
        var sequence = target.NextSequence;
        var of = resource ?? replaces?.Resource ?? sequence;
        var staged = new StagedRow
        {
            Operation = operation,
            Target = target,
            Resource = of,
            Sequence = sequence,
            Replaces = replaces,
            Content = operation.Resource,
            Creates = creates,
            Id = _identifiers.ResourceId(target.View.Compartment, of),
        };
        // Two entries may come to the same resource by criteria, or by criteria and id.
        if (!_stagedById.TryAdd($"{operation.Type}/{staged.Id}", staged))
            throw Failed(operation, new Fault(FaultKind.Unprocessable, new FaultIssue("Another entry changes the same resource.", null, "structure")));
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
    private (List<CompartmentRow> Matches, Fault? Fault) Find(WriteTarget target, string type, string criteria)
    {
        var (query, fault) = SearchQuery.Parse(type, criteria.TrimStart('?'), _identifiers, target.View.Compartment, DateTimeOffset.UnixEpoch, _request.Base);
        return query is null ? ([], fault)
            : ([.. Selection.OfType(target.View, target.Searchable, type).Where(r => query.Matches(r.Entry)).Take(2)], null);
    }

    // :: references

    private void CheckReferences(StagedRow staged, Dictionary<StagedRow, StagedRow> referrers)
    {
        References.MakeRelative(staged.Content!, _request.Base);
        var isDirectory = staged.Target.View.Compartment.IsDirectory;
        if (!isDirectory && staged.Operation.Type == "Patient")
            CheckIdentityCode(staged);
        if (References.ServiceEventCandidates(staged.Content!).Count > 1)
            _issues.Add(new("More than one identifier may be the service event; mark the OID of the service event, and no other, as official.",
                ServiceEventExpression(staged), "business-rule"));
        foreach (var reference in References.Of(staged.Content!, Root(staged.Operation)))
        {
            var (type, id) = (reference.Type, reference.Id);
            switch (reference.Kind)
            {
                case ReferenceKind.Logical or ReferenceKind.Contained or ReferenceKind.External:
                    continue;
                case ReferenceKind.Urn:
                    Wrong("A urn reference means something only inside a transaction that contains its target.", reference.Expression);
                    continue;
                case ReferenceKind.Malformed:
                    Wrong("The reference is neither Type/id nor a URL.", reference.Expression, "value");
                    continue;
                case ReferenceKind.Conditional:
                    if (!TryFindConditional(reference, staged.Operation, out id))
                        continue;
                    reference.Element.Reference = $"{type}/{id}";
                    break;
            }
            Follow(type!, id!, reference.Expression);
        }
        foreach (var link in References.Links(staged.Content!, Root(staged.Operation)))
        {
            // Where a document's text lies does not say whom it is about.
            var belongs = staged.BelongsToPatient;
            if (link is { Type: { } type, Id: { } id })
                Follow(type, id, link.Expression);
            else
                Wrong("A URL on this server is Type/id.", link.Expression, "value");
            staged.BelongsToPatient = belongs;
        }

        void Follow(string type, string id, string expression)
        {
            if (ResourceTypes.PlaceOf(type) == ResourcePlace.Directory)
            {
                if (!ResolvesInDirectory(type, id))
                    Wrong($"The reference names no {type} in the directory.", expression, "not-found");
            }
            else if (isDirectory)
                Wrong("An entry of the directory cannot refer to a patient's record.", expression);
            else if (type == "Patient")
            {
                if (id == _identifiers.PatientId(Own.View.Compartment))
                    staged.BelongsToPatient = true;
                else
                    Wrong("The reference names another patient than the record it would be stored in.", expression);
            }
            else if (_stagedById.TryGetValue($"{type}/{id}", out var other) && other.Content is not null)
            {
                staged.ShownWith.Add(other);
                if (ResourceTypes.PlaceOf(type) == ResourcePlace.Companion)
                {
                    referrers.TryAdd(other, staged);
                    other.ShownWith.Add(staged);
                }
                else
                    staged.BelongsToPatient = true;
            }
            else if (other is null && CurrentOf(type, id, Own) is { Deleted: false } stored)
            {
                staged.BelongsToPatient = true;
                staged.Targets.Add((stored, expression));
            }
            else
                Wrong($"The reference names no {type} that this request may refer to.", expression, "not-found");
        }

        void Wrong(string sentence, string expression, string? code = null) => _issues.Add(new(sentence, expression, code));
    }

    private bool TryFindConditional(ReferenceAt reference, BundleOperation operation, out string? id)
    {
        id = null;
        var target = ResourceTypes.PlaceOf(reference.Type) == ResourcePlace.Directory && !Own.View.Compartment.IsDirectory ? _directory : Own;
        var literal = reference.Element.Reference!;
        var (matches, fault) = target is null ? ([], null) : Find(target, reference.Type!, literal[(literal.IndexOf('?') + 1)..]);
        if (fault is not null)
        {
            _issues.Add(new(fault.Issues[0].Diagnostics, reference.Expression, "value"));
            return false;
        }
        if (matches.Count != 1)
        {
            _issues.Add(new($"The conditional reference matches {(matches.Count == 0 ? "no" : "more than one")} {reference.Type}.", reference.Expression, "not-found"));
            return false;
        }
        id = _identifiers.ResourceId(target!.View.Compartment, matches[0].Resource);
        return true;
    }

    private bool ResolvesInDirectory(string type, string id)
    {
        if (_stagedById.TryGetValue($"{type}/{id}", out var staged))
            return staged.Content is not null;
        var directory = Own.View.Compartment.IsDirectory ? Own : _directory;
        return directory is not null && Resolves(directory, type, id);
    }

    private bool Resolves(WriteTarget target, string type, string id) => CurrentOf(type, id, target) is { Deleted: false };

    /// <summary>A Patient record states whose it is, once, and never becomes another person's.</summary>
    private void CheckIdentityCode(StagedRow staged)
    {
        var patient = (Patient)staged.Content!;
        var root = Root(staged.Operation) ?? "Patient";
        var codes = patient.Identifier.Where(i => i.System == PersonalIdentityCode.System).ToList();
        if (codes.Count != 1)
        {
            _issues.Add(new($"A Patient has exactly one identifier with system {PersonalIdentityCode.System}, the personal identity code.", $"{root}.identifier", "required"));
            return;
        }
        if (staged.Replaces is not { Deleted: false } replaces)
            return;
        var (query, _) = SearchQuery.Parse("Patient", $"identifier={Uri.EscapeDataString(PersonalIdentityCode.System)}%7C{Uri.EscapeDataString(codes[0].Value ?? "")}",
            _identifiers, staged.Target.View.Compartment, DateTimeOffset.UnixEpoch);
        if (query?.Matches(replaces.Entry) != true)
            _issues.Add(new("The personal identity code of a Patient cannot be changed.", $"{root}.identifier", "business-rule"));
    }

    /// <summary>A resource in a patient's compartment must have a reason to be there.</summary>
    private void CheckBelonging(StagedRow staged, Dictionary<StagedRow, StagedRow> referrers)
    {
        if (staged.Content is not { } content || staged.BelongsToPatient || staged.Target.View.Compartment.IsDirectory || content is Patient)
            return;
        // An update of a companion: what it belongs to was decided when it was created.
        if (ResourceTypes.PlaceOf(staged.Operation.Type) == ResourcePlace.Companion && (referrers.ContainsKey(staged) || staged.Replaces is not null))
            return;
        var root = Root(staged.Operation);
        var subject = ResourceTypes.SubjectElements(staged.Operation.Type).FirstOrDefault();
        var expression = subject is null ? root ?? staged.Operation.Type : root is null ? subject : root + subject[subject.IndexOf('.')..];
        _issues.Add(new(ResourceTypes.PlaceOf(staged.Operation.Type) == ResourcePlace.Companion
            ? "A resource of this type is stored together with one that refers to it, in the same transaction."
            : "The resource does not say which patient it is about.", expression, "required"));
    }

    // :: rows

    /// <summary>The service event of a row, and those of what it shows that is stored already.</summary>
    private void FindEvents(StagedRow staged, Dictionary<StagedRow, StagedRow> referrers)
    {
        var before = staged.Replaces;
        var own = staged.Content is null ? before!.ServiceEvent : ServiceEventOf(staged, referrers, 0);
        (staged.ServiceEvent, staged.HasServiceEvent) = (own, true);
        // Others have been stored under an Encounter's, be it none; and whatever has one would slip from under a denial of it.
        if (staged.Content is not null && before is { Deleted: false } && before.ServiceEvent != own
            && (before.ServiceEvent is not null || staged.Operation.Type == "Encounter"))
            _issues.Add(new($"The service event of a stored {staged.Operation.Type} cannot be changed or taken away.", ServiceEventExpression(staged), "business-rule"));
        if (own is not null)
            staged.Shown.Add(own);
        // A deletion shows what it deleted; a companion was stored with those that refer to it.
        if (before is not null && (staged.Content is null || ResourceTypes.PlaceOf(staged.Operation.Type) == ResourcePlace.Companion))
            AddEvents(before);
        foreach (var (target, expression) in staged.Targets)
        {
            AddEvents(target);
            // The companion's row is there and does not say that it shows this event too.
            if (own is not null && ResourceTypes.PlaceOf(target.Type) == ResourcePlace.Companion
                && target.ServiceEvent != own && !target.RelatedEvents.Contains(own))
                _issues.Add(new($"The {target.Type} belongs to another service event or to none; store the two in one transaction, or set its securityContext to the Encounter.",
                    expression, "business-rule"));
        }

        void AddEvents(CompartmentRow row)
        {
            if (row.ServiceEvent is { } its)
                staged.Shown.Add(its);
            staged.Shown.UnionWith(row.RelatedEvents);
        }
    }

    /// <summary>Carries events along the references between the rows of this write, until nothing is added; references may go in circles.</summary>
    private void Spread()
    {
        for (var grew = true; grew;)
        {
            grew = false;
            foreach (var staged in Staged())
                foreach (var other in staged.ShownWith)
                {
                    if (other == staged)
                        continue;
                    var before = staged.Shown.Count;
                    staged.Shown.UnionWith(other.Shown);
                    grew |= staged.Shown.Count > before;
                }
        }
    }

    private void Index(StagedRow staged, DateTimeOffset now)
    {
        var updated = new DateTimeOffset(now.UtcTicks - now.UtcTicks % TimeSpan.TicksPerMillisecond, TimeSpan.Zero);
        if (staged.Content is { } content)
        {
            content.Id = staged.Id;
            content.Meta ??= new();
            content.Meta.VersionId = _identifiers.VersionId(staged.Target.View.Compartment, staged.Sequence);
            content.Meta.LastUpdated = updated;
            staged.Body = ResourceParser.Serialize(content);
        }
        staged.Row = CompartmentRow.Read(staged.Sequence, Indexer.Build(new()
        {
            Type = staged.Operation.Type,
            ResourceSequence = staged.Resource,
            RowSequence = staged.Sequence,
            Controller = staged.Target.Controller,
            ServiceEvent = staged.ServiceEvent,
            RelatedEvents = [.. staged.Shown.Where(e => e != staged.ServiceEvent).Order(StringComparer.Ordinal)],
            BodySize = staged.Body.Length,
            LastUpdated = updated,
            IsDeleted = staged.Content is null,
        }, staged.Content));
    }

    /// <summary>
    /// The service event that a resource belongs to: named by itself, else its Encounter's, else, of a companion, that of
    /// the resource it came with.
    /// </summary>
    private string? ServiceEventOf(StagedRow staged, Dictionary<StagedRow, StagedRow> referrers, int depth)
    {
        if (staged.HasServiceEvent || depth > 20)
            return staged.ServiceEvent;
        var found = Find();
        (staged.ServiceEvent, staged.HasServiceEvent) = (found, true);
        return found;

        string? Find()
        {
            if (staged.Content is not { } content)
                return staged.Replaces?.ServiceEvent;
            if (References.ServiceEvent(content) is { } named)
                return named.ToString();
            if (References.EncounterReference(content) is { Kind: ReferenceKind.Local, Type: "Encounter", Id: { } id })
                return _stagedById.TryGetValue($"Encounter/{id}", out var other)
                    ? ServiceEventOf(other, referrers, depth + 1)
                    : CurrentOf("Encounter", id, Own)?.ServiceEvent;
            // A Provenance may name the Patient too, who belongs to no event: the first target that does decides.
            foreach (var (type, its) in References.Accompanies(content))
                if ((_stagedById.TryGetValue($"{type}/{its}", out var accompanied)
                        ? ServiceEventOf(accompanied, referrers, depth + 1)
                        : CurrentOf(type, its, Own)?.ServiceEvent) is { } shared)
                    return shared;
            if (referrers.TryGetValue(staged, out var referrer))
                return ServiceEventOf(referrer, referrers, depth + 1);
            return ResourceTypes.PlaceOf(staged.Operation.Type) == ResourcePlace.Companion ? staged.Replaces?.ServiceEvent : null;
        }
    }

    /// <summary>FHIRPath of the element that says which service event a resource belongs to.</summary>
    private string ServiceEventExpression(StagedRow staged)
    {
        var root = Root(staged.Operation) ?? staged.Operation.Type;
        return root + (staged.Operation.Type == "Encounter" ? ".identifier"
            : staged.Content is { } content && References.EncounterReference(content) is { } encounter ? encounter.Expression[encounter.Expression.IndexOf('.')..]
            : ".extension");
    }

    // :: faults

    /// <summary>FHIRPath of an operation's resource; null when it is the whole body.</summary>
    private string? Root(BundleOperation operation) => _isBundle ? operation.ResourceExpression : null;

    private FaultException Failed(BundleOperation operation, FaultKind kind, string sentence, string element = "url") => Failed(operation, new Fault(kind, sentence), element);

    /// <summary>The fault, of a Bundle's entry with the element of its request.</summary>
    private FaultException Failed(BundleOperation operation, Fault fault, string element = "url") =>
        new(_isBundle ? fault with { Issues = [fault.Issues[0] with { Expression = $"{operation.Expression}.request.{element}" }] } : fault);
}
