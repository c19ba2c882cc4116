using System.Security.Cryptography;
using Hl7.Fhir.Model;
using KantaGateway.Fhir.Grants;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Fhir.Profiles;
using KantaGateway.Repository.Compartments;
using KantaGateway.Repository.Storage;

namespace KantaGateway.Repository.Interactions;

/// <summary>A row in the making.</summary>
sealed class StagedRow
{
    public required BundleOperation Operation { get; init; }
    public required WriteTarget Target { get; init; }

    /// <summary>Sequence of the resource, 0 for a Patient; of the row.</summary>
    public required long Resource { get; init; }
    public required long Sequence { get; init; }

    /// <summary>Version that it replaces.</summary>
    public CompartmentRow? Replaces { get; init; }

    /// <summary>Null for a deletion.</summary>
    public Resource? Content { get; init; }

    /// <summary>It is answered as stored, and is not: what is there stays.</summary>
    public bool IsKept { get; init; }

    /// <summary>Whether it makes a resource that was not there; a person who is registered again counts as one.</summary>
    public bool Creates { get; init; }

    /// <summary>Logical id.</summary>
    public required string Id { get; init; }

    /// <summary>OID of the data controller, and which of its registers it goes to.</summary>
    public required string Controller { get; init; }
    public required string Register { get; init; }

    public string? ServiceEvent { get; set; }
    public bool HasServiceEvent { get; set; }

    /// <summary>
    /// Service events that show through it: its own, and those of all it refers to; of a companion also those of all that
    /// refers to it. Complete once <see cref="ShownWith"/> has been followed.
    /// </summary>
    public HashSet<string> Shown { get; } = new(StringComparer.Ordinal);

    /// <summary>Stored rows that it refers to, and the FHIRPath of each reference.</summary>
    public List<(CompartmentRow Row, string Expression)> Targets { get; } = [];

    /// <summary>Stored rows that it names without referring to them, and that this request may not see: nothing is said of them.</summary>
    public List<CompartmentRow> Mentions { get; } = [];

    /// <summary>Rows of the same write whose events show through this one.</summary>
    public HashSet<StagedRow> ShownWith { get; } = [];

    /// <summary>Whether it refers to anything in the patient's compartment, or is referred to by what does.</summary>
    public bool BelongsToPatient { get; set; }

    public CompartmentRow? Row { get; set; }
    public byte[] Body { get; set; } = [];

    /// <summary>Tag of its sealed entry.</summary>
    public UInt128 Tag { get; set; }
}

/// <summary>One compartment that a write reads and perhaps appends to.</summary>
sealed class WriteTarget(HeldGrant held, CompartmentLease lease) : IDisposable
{
    private GivenKey? _newKey;
    private byte[]? _wrapped;

    public HeldGrant Held => held;

    public CompartmentLease Lease => lease;

    /// <summary>The view that everything is checked against.</summary>
    public CompartmentView View { get; } = lease.View;

    public string Controller => held.Grant.Scope.Controller;

    /// <summary>The directory is one register.</summary>
    public string Register => View.Compartment.IsDirectory ? Fhir.Grants.Register.Patient : held.Grant.Scope.Register;

    /// <summary>What may be changed, and into what.</summary>
    public DisclosureScope Scope { get; } = held.Grant.Scope.OfWrites;

    /// <summary>What may be referred to: of any type, and what the token narrows too.</summary>
    public DisclosureScope Referable { get; } = held.Grant.Scope.OfWrites with { Filters = null };

    /// <summary>What may be found by criteria: a search is bounded by the token's types.</summary>
    public DisclosureScope Searchable => held.Grant.Scope;

    public List<StagedRow> Rows { get; } = [];

    public long NextSequence => View.Head + Rows.Count + 1;

    /// <summary>The head that the rows make, once they are sealed. There is at least one.</summary>
    public CompartmentHead NewHead => CompartmentHead.Of(View.Compartment, Rows[^1].Sequence, Rows[^1].Tag);

    /// <summary>Seals the rows; a compartment that does not exist yet gets its data key.</summary>
    /// <exception cref="RecordKnownException">It does exist, or did: look again.</exception>
    public async ValueTask<CompartmentAppend> SealAsync(KeyClient keys, CancellationToken cancel)
    {
        if (!lease.Exists)
            (_wrapped, _newKey) = await keys.CreateAsync(held.Token, cancel).ConfigureAwait(false);
        using var cipher = _newKey is null ? lease.Cipher() : new AesGcm(_newKey.Key, 16);
        var rows = new SealedRow[Rows.Count];
        var before = View.TagOf(View.Head);
        for (var i = 0; i < rows.Length; i++)
        {
            var row = Rows[i].Row!;
            if (Rows[i].Operation is { Content: not null, ContentGeneration: var sealedUnder } && sealedUnder != lease.Generation)
                throw new FaultException(new Fault(FaultKind.Busy, "The record was sealed anew while the content was sent. Nothing was stored; send it again."));
            var entry = RowSeal.SealIndex(cipher, View.Compartment, row.Sequence, before, row.Entry);
            before = Rows[i].Tag = RowSeal.TagOf(entry);
            rows[i] = new(row.Sequence, entry,
                RowSeal.SealBody(cipher, View.Compartment, row.Sequence, before, row.Resource, row.Type, Rows[i].Body),
                Rows[i].Operation.Content?.Id);
        }
        return new(View.Compartment, View.Head, _wrapped, rows, lease.Generation);
    }

    /// <summary>The rows are durable: lets the opened compartment have them, has it told how far it is, and keeps one open that is new.</summary>
    public async ValueTask CommittedAsync(OpenedCompartments compartments)
    {
        if (Rows.Count == 0)
            return;
        if (_newKey is not null)
        {
            compartments.Committed(new(View.Compartment, NewHead, _newKey.Rotations, _newKey.Witness, null));
            await compartments.KeepAsync(View.Compartment, _newKey).ConfigureAwait(false);
            return;
        }
        var told = lease.ToldOf(NewHead);
        try
        {
            await lease.CommittedAsync(View, [.. Rows.Select(r => (r.Row!, r.Tag))]).ConfigureAwait(false);
        }
        finally
        {
            // Who tells it looks in the opened one whether it goes on from what is known: it has to be so far then.
            compartments.Committed(told);
        }
    }

    public void Dispose()
    {
        if (_newKey is not null)
            CryptographicOperations.ZeroMemory(_newKey.Key);
        lease.Dispose();
    }
}
