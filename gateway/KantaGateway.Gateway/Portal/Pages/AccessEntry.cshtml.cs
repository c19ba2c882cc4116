using System.Text;
using System.Text.Json;
using System.Text.Json.Serialization;
using KantaGateway.Fhir.Outcomes;
using KantaGateway.Gateway.Disclosure;
using KantaGateway.Gateway.Portal.Records;
using Microsoft.AspNetCore.Mvc;

namespace KantaGateway.Gateway.Portal.Pages;

/// <summary>
/// One entry of the log of who has received the citizen's data, and its proof, which her browser checks (<c>wwwroot/proof.js</c>) or she has checked elsewhere; and that she disputes the access.
/// </summary>
internal sealed class AccessEntryModel(IAccessLog log, Disputes disputes, EntryLines entries, Texts texts, IServiceProvider services) : CitizenPage
{
    /// <summary>What the proof is made of: without what the citizen is not told (Act 703/2023 §74), which it does not need.</summary>
    /// <param name="Entry">Index in the log.</param>
    /// <param name="Salt">Base64, like all bytes here.</param>
    /// <param name="Withheld">SHA-256 of what is withheld; absent where nothing is.</param>
    /// <param name="Record">The bytes that were recorded, UTF-8 JSON.</param>
    /// <param name="Proof">C2SP tlog-proof.</param>
    /// <param name="Log">Verifier key of the log.</param>
    /// <param name="Witnesses">Verifier keys of those who cosign its checkpoints.</param>
    internal sealed record Bundle(long Entry, byte[] Salt, byte[] Subject, [property: JsonIgnore(Condition = JsonIgnoreCondition.WhenWritingNull)] byte[]? Withheld, byte[] Record, string Proof, string Log, IReadOnlyList<string> Witnesses);

    public AccessLine Line { get; private set; } = null!;

    public string What { get; private set; } = "";

    public async Task<IActionResult> OnGetAsync(long index, CancellationToken cancel)
    {
        try
        {
            Line = (await FindAsync(index, cancel)).Line;
        }
        catch (FaultException pruned) when (pruned.Fault.Kind == FaultKind.Deleted)
        {
            return Done("/access-log", "entry-pruned");
        }
        What = texts[$"access.did.{AccessEvents.DeedOf(Line)}", entries.Kinds(Line.Items.Select(static item => item.Type))];
        return Page();
    }

    /// <summary>The same as a file.</summary>
    public async Task<IActionResult> OnGetProofAsync(long index, CancellationToken cancel)
    {
        var proven = await FindAsync(index, cancel);
        var bundle = new Bundle(index, proven.Entry.Salt, proven.Entry.Subject, proven.Entry.WithheldDigest, proven.Entry.Record, proven.Proof, proven.LogKey, services.GetService<LogWitnesses>()?.Keys ?? []);
        return File(Encoding.UTF8.GetBytes(JsonSerializer.Serialize(bundle, JsonSerializerOptions.Web)), "application/json", $"audit-entry-{index}.json");
    }

    /// <summary>"I was not there."</summary>
    public async Task<IActionResult> OnPostAsync(long index, CancellationToken cancel)
    {
        if (IsCustodian)
            throw new RefusedException(StatusCodes.Status403Forbidden);
        try
        {
            return await disputes.DisputeAsync(Citizen, index, cancel) is null ? throw new RefusedException(StatusCodes.Status404NotFound) : Done(DisputesModel.Address, "disputed");
        }
        catch (FaultException many) when (many.Fault.Kind == FaultKind.TooMany)
        {
            return Done(DisputesModel.Address, "disputes-too-many");
        }
    }

    private async Task<ProvenLine> FindAsync(long index, CancellationToken cancel) => IsCustodian ? throw new RefusedException(StatusCodes.Status403Forbidden)
        : await log.ProveAsync(Citizen, index, cancel) ?? throw new RefusedException(StatusCodes.Status404NotFound);
}
